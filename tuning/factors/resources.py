"""How long training and answering take on this device."""

import functools
import platform
from pathlib import Path

import keras

from tuning import training


def parts(task, data, model, run, clock):
    """See `tuning.factors.attempt`."""
    return {
        ("training",): lambda: (run.seconds,),
        ("latency", "throughput"): functools.partial(_answering, data, model, run),
        ("device",): lambda: (device(),),
    }


def _answering(data, model, run):
    """Seconds for an example and examples in a second, by batch size."""
    latency = run.latency or training.latency(model, data.test)
    return dict(latency), {size: 1 / seconds for size, seconds in latency.items()}


def device():
    """What this runs on, for people."""
    found = accelerators()
    return f"{', '.join(found)} beside {_processor()}" if found else _processor()


def accelerators():
    """The names of the devices that a backend computes on, other than the processor."""
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if keras.backend.backend() == "jax":
        import jax

        # Asked for a kind that it has none of, jax raises.
        return [str(each) for each in jax.devices() if each.platform != "cpu"]
    return keras.distribution.list_devices("gpu") or keras.distribution.list_devices("tpu")


def _processor():
    """The processor's name, as exact as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
