"""Time of a training step of every implicit mixer, beside the backend's LSTM, in the same run; and how it grows with T.

    KERAS_BACKEND=tensorflow python benchmarks/recurrence.py [--jit] [--lengths] [--processor | --user] [--rows=64]
        [--repeats=5] [mixer ...]

Forward and backward in float32, as a person trains: a projection, the mixer, `model.compile("sgd", "mse")`, everything
else as Keras has it (which is without XLA on tensorflow where there is no GPU), then `train_on_batch`; batches of 64
rows of 1,024 positions, width 128. With --jit all but the LSTM are compiled with `jit_compile=True`. All models take
turns; times are medians over the turns with the quickest and the slowest. The floor is what no mixer with weights can
do without: in the place of the mixer one more projection, a product and a sum.

With --processor the seconds are those this process had on all cores together, not what passed: on one core, with
`taskset -c 1` before the command, what else the machine does then counts for little. With --user only those in its own
code, without what the system does for it, such as handing out fresh memory.

With --lengths: batches of 4 rows of 1,024 to 16,384 positions, the mixers alone, one length after the other.
"""

import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import in_turns
import keras
import numpy as np

from keras_attn import mixers


def number(name, default):
    """What stands behind `--name=`."""
    return next((int(option.split("=")[1]) for option in sys.argv if option.startswith(f"--{name}=")), default)


REPEATS = number("repeats", 5)
JIT = "--jit" in sys.argv
CLOCKS = {"--processor": time.process_time, "--user": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime}
CLOCK = next((clock for option, clock in CLOCKS.items() if option in sys.argv), time.perf_counter)
SHAPE = (number("rows", 64), 1024, 128)
LENGTHS, FEW = (1024, 2048, 4096, 8192, 16384), 4
GOAL = 3.0
BACKEND = keras.config.backend()


class Floor(keras.layers.Layer):
    """One projection and a few passes over the array."""

    def build(self, shape):
        self.dense = keras.layers.Dense(shape[-1])
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return x * self.dense(x) + x


class TorchLSTM(keras.layers.Layer):
    """torch's own LSTM, which is faster there than Keras's."""

    def build(self, shape):
        import torch

        self.module = keras.layers.TorchModuleWrapper(torch.nn.LSTM(shape[-1], shape[-1], batch_first=True))
        self.built = True

    def call(self, x):
        return self.module(x)[0]

    def compute_output_shape(self, shape):
        return shape


LSTMS = {"keras LSTM": lambda: keras.layers.LSTM(SHAPE[-1], return_sequences=True)}
if BACKEND == "torch":
    LSTMS = {"torch LSTM": TorchLSTM}
YARDSTICKS = {"floor": Floor, **LSTMS}


def training_step(name, shape):
    """A function that runs one step and waits for it."""
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    inputs = keras.Input(shape[1:])
    layer = YARDSTICKS[name]() if name in YARDSTICKS else mixers.get(name)
    # A projection in front, so that the backward pass goes through to the inputs.
    model = keras.Model(inputs, layer(keras.layers.Dense(shape[-1], use_bias=False)(inputs)))
    model.compile("sgd", "mse", jit_compile=True if JIT and not name.endswith("LSTM") else "auto")
    return lambda: float(model.train_on_batch(x, x))


def times(names, shape):
    """Seconds of each repeat of each of the models, which take turns."""
    return in_turns.times({name: training_step(name, shape) for name in names}, REPEATS, clock=CLOCK)


def report(names):
    """Each mixer beside the yardsticks."""
    taken = times([*YARDSTICKS, *names], SHAPE)
    medians = {name: np.median(seconds) for name, seconds in taken.items()}
    lstm = [name for name in YARDSTICKS if name.endswith("LSTM")]
    print(f"| mixer | step, s | {' | '.join(f'times faster than {name}' for name in lstm)} | floor reached |")
    print("|---|---|" + "---|" * len(lstm) + "---|")
    for name, seconds in taken.items():
        faster = " | ".join(f"{medians[other] / medians[name]:.2f}" for other in lstm)
        print(f"| {name} | {in_turns.spread(seconds)} | {faster} | {medians['floor'] / medians[name]:.0%} |")
    beaten = [name for name in names if medians[lstm[-1]] / medians[name] >= GOAL]
    print(f"\nAt least {GOAL:g} times faster than {lstm[-1]}: {', '.join(beaten) or 'none'}.")


def report_lengths(names):
    """How the time of each mixer grows with the number of positions."""
    table = {length: times(names, (FEW, length, SHAPE[-1])) for length in LENGTHS}
    print(f"| mixer, {FEW} rows | {' | '.join(f'T {length:,}, ms' for length in LENGTHS)} | 16 times longer costs |")
    print("|---|" + "---|" * (len(LENGTHS) + 1))
    for name in names:
        medians = [1e3 * np.median(table[length][name]) for length in LENGTHS]
        print(f"| {name} | {' | '.join(f'{x:.0f}' for x in medians)} | {medians[-1] / medians[0]:.1f} times |")


def main(names):
    jit = ", with jit but for the LSTM" if JIT else ""
    cores, clock = len(os.sched_getaffinity(0)), next((option[2:] for option in CLOCKS if option in sys.argv), "wall")
    where = f"{BACKEND}{jit}, Keras {keras.__version__}, {cores} of {os.cpu_count()} cores"
    print(f"{where}, {clock} time, {REPEATS} repeats each\n")
    if "--lengths" in sys.argv:
        # What is fixed to a length has weights that grow with it.
        report_lengths([name for name in names if not mixers.get(name).fixed_length])
    else:
        report(names)


if __name__ == "__main__":
    main([name for name in sys.argv[1:] if not name.startswith("--")] or list(mixers.names("implicit")))
