"""Past verdicts and finished searches made by hand."""

import dataclasses

from tests.tuning.standins import BLOBS
from tuning import decide, record
from tuning.characteristics import Characteristics
from tuning.journal import Run
from tuning.result import FamilyResult, Result

PLAIN = Characteristics(
    length=31.0,
    spread=2.0,
    positions=37,
    values=17,
    tokens=True,
    examples=997,
    labels=True,
    classes=2,
    entropy=1.0,
    asked=1.0,
    constant=0.5,
    bag=0.6,
    implicit=0.7,
    explicit=0.7,
    steps=320,
    looks="explicit",
    distance=5.0,
    within=(0.1, 0.4, 1.0, 1.0),
    half=3.0,
    quarters=(0.25, 0.25, 0.25, 0.25),
)
#: A task with a family of each kind, and twice as many trials as a short start has.
TASK = dataclasses.replace(BLOBS, mixers=("gru", "multi_head", ["gru", "multi_head"], "identity"), margin=0.02)


def like(probes=0.0, **changes):
    """A task whose small explicit model was better than the implicit one by so much, as a share of what could be."""
    return dataclasses.replace(PLAIN, implicit=0.7 - probes / 4, explicit=0.7 + probes / 4, **changes)


def candidate(name, kind, score):
    return decide.Candidate(name, kind, (score,) * 3, (score - 0.01, score, score + 0.01), 100, 1e-3)


def past(task, advantage, characteristics=None, **search):
    """A verdict by which explicit is so much better, as a share of what could be; the hybrid is a little worse."""
    explicit, implicit = 0.75 + advantage / 4, 0.75 - advantage / 4
    rivals = [
        candidate("multi_head", "explicit", explicit),
        candidate("gru", "implicit", implicit),
        candidate("gru+multi_head", "hybrid", max(explicit, implicit) - 0.005),
        candidate("identity", "control", 0.51),
    ]
    return record.past(task, characteristics or like(advantage), rivals, 0.02, search, f"keras-attn tune {task}")


def finished(explicit, implicit, task="blobs", winner="multi_head"):
    """The `Result` of a search in which the two reached so much, on two seeds."""

    def family(name, kind, score):
        run = Run(name, "retraining", 0, 0, 2, 0, {}, valid=score, latency={"1": 1e-3})
        return FamilyResult(
            name, kind, (), tuple(dataclasses.replace(run, test=score + off) for off in (-0.001, 0.001))
        )

    both = (family("multi_head", "explicit", explicit), family("gru", "implicit", implicit))
    search = {
        "task": task,
        "mixers": ["multi_head", "gru"],
        **{name: 2 for name in ("trials", "seeds", "seed", "epochs", "parameters")},
        "backend": "torch",
        "width": None,
    }
    about = {"description": "", "margin": 0.02, "answer": None, "measure": "accuracy"}
    return Result(search, about, both, decide.Verdict("explicit", "", winner), {}, 1.0)
