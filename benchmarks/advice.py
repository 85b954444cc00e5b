"""How good is advice? Each past verdict is guessed from those on other tasks: was the kind right, how wide is it?

    python benchmarks/advice.py [FILE ...]

The verdicts that come with the package, and those of files as `keras-attn remember` writes them.
"""

import argparse

import numpy as np

from tuning import advice, record


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="records of one's own")
    past = record.load(parser.parse_args().files)
    tried = [one for one in advice.leave_one_out(past) if one.expected is not None]
    print(f"{len(past)} verdicts on {len({one.task for one in past})} tasks.")
    if not tried:
        print(f"Too few: a guess needs {advice.LEAST} other tasks.")
        return
    print(f"{'task':<24}{'guess':>8}{'interval':>20}{'came to':>9}  {'named':<9}right")
    for one in tried:
        between = f"{one.expected.low:+.3f} to {one.expected.high:+.3f}"
        right = {True: "yes", False: "no", None: ""}[one.right]
        print(f"{one.task:<24}{one.expected.mean:>+8.3f}{between:>20}{one.difference:>+9.3f}  {one.answer:<9}{right}")
    named = [one.right for one in tried if one.right is not None]
    print(f"A kind was named for {len(named)} of {len(tried)}, and rightly for {sum(named)}.")
    inside = np.mean([one.inside for one in tried])
    print(f"The interval held what came of it in {inside:.0%}, where {advice.COVERAGE:.0%} was said.")
    print(f"Its width is {np.median([one.expected.high - one.expected.low for one in tried]):.3f}, the median.")
    errors = {"The guess": [abs(one.expected.mean - one.difference) for one in tried]}
    errors["The mean of the other tasks"] = [abs(_mean_of_others(one, past) - one.difference) for one in tried]
    for name, found in errors.items():
        print(f"{name} was off by {np.mean(found):.3f}.")


def _mean_of_others(one, past):
    others = {}
    for other in past:
        others.setdefault(other.task, []).append(other.difference)
    return np.mean([np.mean(found) for task, found in others.items() if task != one.task])


if __name__ == "__main__":
    main()
