"""How often does a verdict's 95 % interval hold the true difference? Models that are simulated, so that it is known.

    python benchmarks/intervals.py [--draws 2000] [--rows 200]

The difference of two models on a test example is the true one, and what the seed adds, what the example does to every
seed, and what it does to this one alone: three spreads. Each row of the table has other spreads. It says, by how many
seeds there are, how often `tuning.decide` holds the truth with what test examples add, and of seeds alone; and how much
longer the interval is with it, the median.
"""

import argparse

import numpy as np

from tuning import decide, measures

TRUTH = 0.1
#: What each spread comes of, in the differences of 0 and 1 that answers right or wrong make.
SPREADS = {
    "all three": {"seed": 0.02, "example": 0.3, "both": 0.4},
    "seeds alike": {"seed": 0.0, "example": 0.3, "both": 0.4},
    "mostly seeds": {"seed": 0.05, "example": 0.1, "both": 0.4},
    "mostly examples": {"seed": 0.02, "example": 0.8, "both": 0.4},
    "each seed its own way": {"seed": 0.02, "example": 0.0, "both": 0.4},
}
SEEDS = (2, 3, 4, 5, 10, 20)


def pair(random, seeds, rows=200, seed=0.02, example=0.3, both=0.4):
    """Two candidates, the first better by `TRUTH`: all that varies is put to the first."""
    scores = TRUTH + seed * random.normal(size=(seeds, 1)) + example * random.normal(size=rows)
    scores = scores + both * random.normal(size=(seeds, rows))
    drawn = random.integers(0, rows, (measures.DRAWS, rows))
    redrawn = tuple(map(tuple, scores[:, drawn].mean(axis=-1)))
    known = {"parameters": 1, "cost": 1.0, "step": 1e-9, "units": rows}
    test, nothing = tuple(scores.mean(axis=1)), (0.0,) * seeds
    still = tuple((0.0,) * measures.DRAWS for _ in range(seeds))
    return (
        decide.Candidate("first", "explicit", test, test, redrawn=redrawn, **known),
        decide.Candidate("second", "implicit", nothing, nothing, redrawn=still, **known),
    )


def measure(random, draws, seeds, rows, spreads):
    """How often the two intervals hold the truth, and how much longer the first is."""
    found = [decide.compare(*pair(random, seeds, rows, **spreads), margin=0.0) for _ in range(draws)]
    alone = [decide.interval(each.differences) for each in found]
    held = np.mean([each.low <= TRUTH <= each.high for each in found])
    longer = [(each.high - each.low) / (high - low) for each, (low, high) in zip(found, alone, strict=True)]
    return held, np.mean([low <= TRUTH <= high for low, high in alone]), np.median(longer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000, help="simulated comparisons for each cell")
    parser.add_argument("--rows", type=int, default=200, help="test examples")
    options = parser.parse_args()
    print("| what varies |" + "".join(f" {seeds} seeds |" for seeds in SEEDS))
    print("|---|" + "---|" * len(SEEDS))
    for name, spreads in SPREADS.items():
        cells = [measure(np.random.default_rng(seeds), options.draws, seeds, options.rows, spreads) for seeds in SEEDS]
        print(f"| {name} |" + "".join(f" {both:.3f} ({alone:.3f}; {longer:.1f}x) |" for both, alone, longer in cells))


if __name__ == "__main__":
    main()
