"""How much memory a function takes at most, beyond what was taken before."""

import ctypes
import gc
from pathlib import Path

import keras

from tuning.factors import CannotMeasure
from tuning.factors.resources import accelerators

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_of(function):
    """Bytes that a call adds at its highest: of the device's memory where the backend counts it, else of the process.

    Of the process it is what Linux counts, in pages, once what lay unused was given back: some hundred kilobytes are
    noise.

    Raises:
        CannotMeasure: if nobody counts.
    """
    gc.collect()
    return _on_device(function) if accelerators() else _in_process(function)


def _on_device(function):
    if keras.backend.backend() == "jax":
        raise CannotMeasure("jax does not count anew how much of a device's memory was taken at most")
    if keras.backend.backend() == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    function()
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] - before


def _in_process(function):
    if not RESET.exists():
        raise CannotMeasure("this system does not count how much memory a process took at most")
    _give_back()
    try:
        # What the kernel's manual calls it: the highest mark is set back to what is taken now.
        RESET.write_text("5")
    except OSError as error:
        raise CannotMeasure(f"this system does not let the highest mark be set back ({error})") from None
    before = _kilobytes("VmRSS")
    function()
    return max(0, _kilobytes("VmHWM") - before) * 1024


def _give_back():
    """What the C library keeps for later would hide what is taken again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kilobytes(name):
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise CannotMeasure(f"this system does not say {name}")
