"""How good is advice? Each past verdict is guessed from those on other tasks: was the kind right, how wide is it?

    python benchmarks/advice.py [FILE ...]
    python benchmarks/advice.py --made-up

The verdicts that come with the package, and those of files as `keras-attn remember` writes them. Made up are records
of 6, 14 and 30 tasks, 30 of each, in which the small models differ as the large ones do, but for noise, and other
characteristics say nothing: whether the intervals hold what they say can be told without a single search.
"""

import argparse

import numpy as np

from tuning import advice, record
from tuning.characteristics import Characteristics
from tuning.decide import Candidate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="records of one's own")
    parser.add_argument("--made-up", action="store_true", help="records that are drawn, instead")
    asked = parser.parse_args()
    if asked.made_up:
        show_made_up()
    else:
        show(record.load(asked.files))


def show(past):
    """Prints what the advice on each past task would have been, and what that is worth."""
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


def show_made_up():
    """Prints how often intervals hold the truth, and kinds are named, in records that are drawn."""
    for count in (6, 14, 30):
        tried = [one for seed in range(30) for one in advice.leave_one_out(_draw(count, np.random.default_rng(seed)))]
        named = [one.right for one in tried if one.right is not None]
        width = np.mean([one.expected.high - one.expected.low for one in tried])
        print(
            f"{count} tasks: inside {np.mean([one.inside for one in tried]):.0%}, {width:.3f} wide, "
            f"a kind named for {len(named) / len(tried):.0%}, rightly for {np.mean(named):.0%} of those"
        )


def _draw(count, numbers):
    """A record in which explicit is better by as much as the small explicit model was."""
    return [
        _made_up(f"task {number}", advantage, numbers) for number, advantage in enumerate(numbers.uniform(-1, 1, count))
    ]


def _made_up(name, advantage, numbers):
    like = Characteristics(
        length=float(numbers.integers(8, 64)),
        spread=0.0,
        positions=64,
        values=16,
        tokens=True,
        examples=int(numbers.integers(100, 9999)),
        labels=True,
        classes=2,
        entropy=1.0,
        asked=1.0,
        constant=0.5,
        bag=float(numbers.uniform(0.5, 0.7)),
        implicit=0.7 - advantage / 4,
        explicit=0.7 + advantage / 4,
        steps=320,
        looks="explicit",
        distance=float(numbers.integers(1, 30)),
        within=(0.0, 0.5, 1.0, 1.0),
        half=float(numbers.integers(1, 9)),
        quarters=(0.25, 0.25, 0.25, 0.25),
    )
    reached = {"explicit": 0.75 + advantage / 4, "implicit": 0.75 - advantage / 4}
    scores = {kind: tuple(mean + 0.02 * numbers.normal(size=3)) for kind, mean in reached.items()}
    rivals = [Candidate(kind, kind, found, found, 1000, 1e-3) for kind, found in scores.items()]
    return record.past(name, like, rivals, 0.02, {}, "")


def _mean_of_others(one, past):
    others = {}
    for other in past:
        others.setdefault(other.task, []).append(other.difference)
    return np.mean([np.mean(found) for task, found in others.items() if task != one.task])


if __name__ == "__main__":
    main()
