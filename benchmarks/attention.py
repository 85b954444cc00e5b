"""Time and memory of a training step: our explicit layers beside Keras's own, in the same run.

    KERAS_BACKEND=tensorflow python benchmarks/attention.py [--jit | --jit-both] [--repeats=7] [case ...]

Forward and backward in float32, as a person trains: `model.compile("sgd", "mse")`, everything else as Keras has it
(which is without XLA on tensorflow where there is no GPU), then `train_on_batch`. With --jit ours are compiled with
`jit_compile=True` and Keras's own are not, for that is what serves each best; with --jit-both all are. Both models of a
case take turns; times are medians over the turns with the quickest and the slowest. Memory is how far the peak of a
fresh process grows over what it was before the first step. The last table stands in `benchmarks/RESULTS.md`.
"""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_attn

REPEATS = next((int(option.split("=")[1]) for option in sys.argv if option.startswith("--repeats=")), 7)
JIT = next((option for option in ("--jit", "--jit-both") if option in sys.argv), None)


@dataclasses.dataclass(frozen=True)
class Case:
    """Two layers on the same input, and by how much ours should be quicker and smaller."""

    shape: tuple
    ours: object
    theirs: object
    causal: bool = False
    time_goal: float = None
    memory_goal: float = None


def heads(ours=True, **options):
    layer = keras_attn.MultiHeadAttention if ours else keras.layers.MultiHeadAttention
    return lambda: layer(num_heads=8, key_dim=64, use_bias=False, **options)


class HeadsAlone(keras_attn.Pairwise):
    """Softmax of scaled dot products of 8 heads, with nothing learned around it."""

    def __init__(self, pattern=None):
        super().__init__()
        self._pattern = keras_attn.patterns.get(pattern)

    heads = 8

    @property
    def pattern(self):
        return self._pattern

    def project_query(self, x, positions=None):
        batch, length, width = keras.ops.shape(x)
        return keras.ops.transpose(keras.ops.reshape(x, (batch, length, 8, width // 8)), (0, 2, 1, 3))

    project_key = project_value = project_query

    def as_dot_product(self, query, key, parameters):
        return keras_attn.scores.scaled(query), key

    def merge(self, mix, query):
        return keras.ops.reshape(keras.ops.transpose(mix, (0, 2, 1, 3)), keras.ops.shape(query))


LONG = (1, 8192, 512)
TIME_GOALS = {"tensorflow": (1.1, 0.65), "jax": (0.5, 0.5), "torch": (1.15, 1.15)}
WINDOW = {"pattern": "window", "width": 128}
FULL, CAUSAL = TIME_GOALS[keras.config.backend()]
# On torch Keras's layer has a kernel that needs no more than ours.
SMALL = None if keras.config.backend() == "torch" else 1 / 10
CASES = {
    "additive": Case((4, 2048, 64), keras_attn.AdditiveAttention, keras.layers.AdditiveAttention, False, 0.7, 1 / 20),
    "additive, half as long": Case(
        (4, 1024, 64), keras_attn.AdditiveAttention, keras.layers.AdditiveAttention, False, 0.7, 1 / 20
    ),
    "multi-head": Case(LONG, heads(), heads(ours=False), False, FULL, SMALL),
    "multi-head, causal": Case(LONG, heads(), heads(ours=False), True, CAUSAL, SMALL),
    "multi-head, 4096, dropout": Case((1, 4096, 512), heads(dropout=0.1), heads(ours=False, dropout=0.1)),
    "multi-head, window 128, beside full": Case(LONG, heads(sliding_window=128), heads(), False, 0.1, None),
    "8 heads alone, window 128, beside full": Case(LONG, lambda: HeadsAlone(WINDOW), HeadsAlone, False, 0.1, None),
    "multi-head, window 128": Case(LONG, heads(sliding_window=128), heads(ours=False, sliding_window=128)),
    "multi-head, 32 x 512": Case((32, 512, 512), heads(), heads(ours=False)),
    "multi-head, 32 x 512, causal": Case((32, 512, 512), heads(), heads(ours=False), True),
}


def training_step(case, whose):
    """A function that runs one step and waits for it."""
    x = np.random.default_rng(0).normal(size=case.shape).astype("float32")
    inputs = keras.Input(case.shape[1:])
    layer = getattr(case, whose)()
    options = {"use_causal_mask": True} if case.causal else {}
    # Called as Keras's own wants it; a projection in front, so that the backward pass goes through to the inputs.
    hidden = keras.layers.Dense(case.shape[-1], use_bias=False)(inputs)
    both = [hidden, hidden]
    outputs = layer(both, **options) if isinstance(layer, keras.layers.Attention) else layer(*both, **options)
    model = keras.Model(inputs, outputs)
    jit = JIT == "--jit-both" or (JIT and isinstance(layer, keras_attn.Pairwise))
    model.compile("sgd", "mse", jit_compile=True if jit else "auto")
    return lambda: float(model.train_on_batch(x, x))


def peak():
    """The most memory this process has had, in MiB. (What `getrusage` says includes the parent's.)"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def memory_growth(name, whose):
    """MiB by which the peak of a fresh process grows through three steps."""
    command = [sys.executable, __file__, "--memory", name, whose, *([JIT] if JIT else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_memory_growth(name, whose):
    step = training_step(CASES[name], whose)
    before = peak()
    for _ in range(3):
        step()
    print(peak() - before)


def times(case):
    """Seconds of each repeat, ours and theirs in turns."""
    steps = {whose: training_step(case, whose) for whose in ("theirs", "ours")}
    for step in steps.values():
        step()
        step()
    taken = {whose: [] for whose in steps}
    for _ in range(REPEATS):
        for whose, step in steps.items():
            start = time.perf_counter()
            step()
            taken[whose].append(time.perf_counter() - start)
    return taken["ours"], taken["theirs"]


def spread(seconds):
    return f"{np.median(seconds):.3f} ({min(seconds):.3f}-{max(seconds):.3f})"


def verdict(ratio, goal):
    return f"{ratio:.2f}" + ("" if goal is None else f" (goal {goal:.2f}: {'met' if ratio <= goal else 'missed'})")


def report(name):
    case = CASES[name]
    # Before the times: afterwards this process may hold most of the memory.
    our_growth, their_growth = (memory_growth(name, whose) for whose in ("ours", "theirs"))
    ours, theirs = times(case)
    ratio = verdict(np.median(ours) / np.median(theirs), case.time_goal)
    memory = verdict(our_growth / their_growth, case.memory_goal)
    print(
        f"| {name} | {spread(ours)} | {spread(theirs)} | {ratio} | {our_growth:.0f} | {their_growth:.0f} | {memory} |",
        flush=True,
    )
    return np.median(ours)


def compiled(function):
    """`function` compiled as Keras would, waiting for its result."""

    class Layer(keras.layers.Layer):
        def call(self, x):
            return function(x)

        def compute_output_shape(self, shape):
            return shape

    model = keras.Sequential([Layer()])
    model.compile()
    return lambda x: model.predict_on_batch(x)


def rate_of_tanh():
    """Billions of tanh in a second, on arrays that stay in the cache."""
    rounds = 200

    def many(x):
        for _ in range(rounds):
            x = keras.ops.tanh(x)
        return x

    x, run = np.ones((64, 4096), "float32"), compiled(many)
    run(x)
    best = min(_seconds(run, x) for _ in range(REPEATS))
    return rounds * x.size / best / 1e9


def rate_of_matmul():
    """Billions of floating-point operations in a second of a product of two 2048 x 2048 matrices."""
    other = keras.ops.convert_to_tensor(np.ones((2048, 2048), "float32"))
    x, run = np.ones((2048, 2048), "float32"), compiled(lambda x: keras.ops.matmul(x, other))
    run(x)
    return 2 * 2048**3 / min(_seconds(run, x) for _ in range(REPEATS)) / 1e9


def _seconds(run, *args):
    start = time.perf_counter()
    run(*args)
    return time.perf_counter() - start


def main(names):
    backend = keras.config.backend() + ({"--jit": ", ours with jit", "--jit-both": ", both with jit"}.get(JIT, ""))
    print(f"{backend}, Keras {keras.__version__}, {os.cpu_count()} cores, {REPEATS} repeats each\n")
    print("| case | ours, s | Keras, s | time ratio | ours, MiB | Keras, MiB | memory ratio |")
    print("|---|---|---|---|---|---|---|")
    medians = {name: report(name) for name in names}
    print()
    if "additive" in medians:
        batch, length, width = CASES["additive"].shape
        # Forward, and once more in the backward pass.
        needed = 2 * batch * length**2 * width / 1e9
        rate = rate_of_tanh()
        reached = needed / medians["additive"] / rate
        print(f"additive: {needed:.2f} billion tanh at {rate:.2f} billion/s; {reached:.0%} of that rate reached")
    if "multi-head" in medians:
        _, length, width = CASES["multi-head"].shape
        # Two products forward, five backward with one of them a second time, and four projections three times.
        operations = 14 * length**2 * width + 5 * 6 * length * width**2
        rate = rate_of_matmul()
        reached = operations / 1e9 / medians["multi-head"] / rate
        print(f"multi-head: {operations / 1e9:.0f} GFLOP at {rate:.0f} GFLOP/s; {reached:.0%} of that rate reached")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print_memory_growth(*sys.argv[2:4])
    else:
        main([name for name in sys.argv[1:] if not name.startswith("--")] or list(CASES))
