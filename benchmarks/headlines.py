"""How good a headline are the first words of a report? What the presets of reuters_headlines stand beside.

    KERAS_ATTN_DATA=DIRECTORY python benchmarks/headlines.py

As many words as a headline of the training part has on average, and as many as are best on dev, judged as presets are.
"""

import numpy as np

from zoo.subjects.pairs import REUTERS_HEADLINES

#: How many words may be best.
COUNTS = range(3, 31)


def judge(split, count):
    bodies, titles = REUTERS_HEADLINES.load(split)
    return REUTERS_HEADLINES.judged([" ".join(body.split()[:count]) for body in bodies], titles)


def main():
    _, titles = REUTERS_HEADLINES.load("train")
    usual = round(np.mean([len(title.split()) for (title,) in titles]))
    best = max(COUNTS, key=lambda count: judge("dev", count)["score"])
    for why, count in (("as many as a headline has", usual), ("as many as are best on dev", best)):
        for split in ("dev", "test"):
            scores = ", ".join(f"{name} {value:.3f}" for name, value in judge(split, count).items())
            print(f"the first {count} words, {why}, on {split}: {scores}")


if __name__ == "__main__":
    main()
