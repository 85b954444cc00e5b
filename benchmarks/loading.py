"""How long does `zoo.load` take, for each preset, and what does a second load take?

    KERAS_BACKEND=tensorflow python benchmarks/loading.py

After the imports, in one process, each preset three times, all in turn: seconds by the clock, the first and the least
of the rest. The first load of a task also pays for what TensorFlow makes once. The goal is two seconds.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import zoo

REPEATS = 3


def main():
    taken = {name: [] for name in zoo.presets()}
    for _ in range(REPEATS):
        for name, seconds in taken.items():
            start = time.perf_counter()
            zoo.load(name)
            seconds.append(time.perf_counter() - start)
    print("| preset | first, s | again, s |\n|---|---|---|")
    for name, (first, *rest) in sorted(taken.items(), key=lambda row: -row[1][0]):
        print(f"| `{name}` | {first:.2f} | {min(rest):.2f} |")


if __name__ == "__main__":
    main()
