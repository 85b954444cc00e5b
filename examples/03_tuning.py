"""Tuning: which attention reads scikit-learn's digits best? A small search, from Python."""

import sys

import tuning


def main(folder, **budget):
    """Searches, prints the verdict, and returns the result."""
    result = tuning.compare("digits", mixers=["multi_head", "gru", "pooling"], out=folder, **budget)
    print(result.verdict.answer)
    print(result.verdict.reason)
    return result


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "digits-by-hand", trials=2, seeds=3)
