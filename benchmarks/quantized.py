"""What do presets lose when they are quantized, and how small do their files become?

    KERAS_BACKEND=torch python benchmarks/quantized.py [NAME ...]

Each preset is judged on its test data as it was published, then after `quantize("int8")` and `quantize("int4")`. Sizes
are of the weight files that `zoo.save(task, ..., weights="float16")` writes: what `quantize` leaves alone, such as the
kernels of recurrences and convolutions, stays at 16 bits. Needs the data.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import zoo
from zoo import store
from zoo.subjects import SUBJECTS

#: Two or three of each kind of task that is judged within a minute or two.
NAMES = (
    "mixer_gru_sst2",
    "mixer_multi_head_sst2",
    "mixer_additive_reuters_r8",
    "mixer_gru_ud_ewt",
    "mixer_multi_head_ud_ewt",
    "mixer_multi_head_fashion_mnist",
    "mixer_gated_conv_fsdd",
    "mixer_multi_head_fsdd",
    "mixer_multi_head_mitbih_strips",
    "mixer_additive_physionet2012",
    "mixer_multi_head_etth1",
)
MODES = (None, "int8", "int4")


def judged(name, mode):
    """Score on test, and megabytes of the weight files."""
    task = zoo.load(name)
    if mode:
        task.quantize(mode)
    score = SUBJECTS[store.card(name)["subject"]].judge(task)["score"]
    with tempfile.TemporaryDirectory() as folder:
        zoo.save(task, Path(folder) / "preset", weights="float16")
        return score, sum(file.stat().st_size for file in Path(folder).rglob("*.weights.h5")) / 1e6


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*")
    names = parser.parse_args(arguments).names or NAMES
    modes = ("as published", "int8", "int4")
    print("|".join(["", " preset ", " score ", *(f" {m} " for m in modes), *(f" MB, {m} " for m in modes), ""]))
    print(f"|{'---|' * 8}")
    for name in names:
        scores, sizes = zip(*(judged(name, mode) for mode in MODES), strict=True)
        cells = [f"{score:.4f}" for score in scores] + [f"{size:.2f}" for size in sizes]
        print(f"| `{name}` | {SUBJECTS[store.card(name)['subject']].measure} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
