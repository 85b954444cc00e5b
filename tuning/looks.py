"""What the winner looks at in a few examples: pictures, and the maps as numbers."""

import dataclasses

import numpy as np

from tuning import probes
from tuning.journal import read_json, write_json

FOLDER, DESCRIPTION = "looks", "looks.json"
EXAMPLES = 3
#: How many examples the few are chosen from.
AMONG = 64
#: Of a forecast so many numbers are named.
TARGETS = 5


def save(task, data, journal, found, verdict):
    """Draws maps of the winner on a few validation examples of different answers, into the journal's folder.

    What goes wrong does not end a search: then the folder says why there are none.

    Args:
        task: a `tuning.task.Task`.
        data: its `tuning.task.Data`.
        journal: the `tuning.journal.Journal` that still has the weights.
        found: a `tuning.result.FamilyResult` for each family.
        verdict: a `tuning.decide.Verdict`.
    """
    if verdict.winner is None:
        return
    from tuning.factors import families as measured

    family = next(family for family in found if family.name == verdict.winner)
    folder = journal.folder / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        model = measured.model(task, journal, measured.best(family))
        content = {"examples": _draw(task, data, model, folder), "missing": None}
    except Exception as error:
        content = {"examples": [], "missing": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    write_json(folder / DESCRIPTION, {"model": family.name, **content})


def load(folder):
    """What `save` wrote: a dict of "model", "examples" and "missing"; None if nothing was."""
    path = folder / FOLDER / DESCRIPTION
    if not path.exists():
        return None
    found = read_json(path)
    for number, example in enumerate(found["examples"]):
        example["picture"] = (folder / FOLDER / f"{number}.svg").read_text(encoding="utf-8")
    return found


def _draw(task, data, model, folder):
    made = _written(data, model) if _writes(model, data) else _answered(task, data, model)
    examples = []
    for number, picture in enumerate(made):
        picture.picture(folder / f"{number}.svg")
        parts = {name: [float(f"{value:.4g}") for value in each] for name, each in picture.parts.items()}
        examples.append({"kind": picture.kind, "answer": picture.answer, "maps": parts})
    return examples


def _answered(task, data, model):
    """A `zoo.Explanation` of each of a few examples of different answers."""
    from tuning.factors import answers, interpretability

    split = data.valid.take(data.valid.drawn(AMONG))
    split = split.take(_of_different_answers(answers.subject(task, model, split).said))
    subject = answers.subject(task, model, split)
    maps = interpretability.maps(model, subject)
    return [_explanation(data, model, split, subject, maps, number) for number in range(len(split))]


def _writes(model, data):
    """Whether a text becomes another: then it is what the model writes by itself that is explained, word by word."""
    return hasattr(model, "generate") and "encoder_token_ids" in data.valid.x


def _written(data, model):
    """A `zoo.Explanation` of what the model writes of each of a few texts."""
    import zoo

    preprocessor = model.preprocessor = data.preprocessor
    split, made = data.valid.take(data.valid.drawn(EXAMPLES)), []
    for number, (source, right) in enumerate(zip(split.x["encoder_token_ids"], split.y, strict=True), start=1):
        found = zoo.explain(model, _text(preprocessor.source_tokenizer or preprocessor.tokenizer, source))
        answer = f"{found.answer} Right is {_text(preprocessor.tokenizer, right)!r}."
        made.append(dataclasses.replace(found, answer=answer, title=f"Example {number}"))
    return made


def _text(tokenizer, ids):
    """The text of ids, without marks of its start, its end and of what is padding."""
    return tokenizer.detokenize([each for each in ids.tolist() if each not in tokenizer.special_token_ids])


def _of_different_answers(said):
    """The first example of each answer, and then the first of the others."""
    _, first = np.unique(said, return_index=True)
    order = [*sorted(first), *(index for index in range(len(said)) if index not in set(first))]
    return np.array(order[:EXAMPLES])


def _explanation(data, model, split, subject, maps, number):
    """A `zoo.Explanation` of one example: of its real positions alone."""
    import zoo

    real = subject.real[number]
    parts = {name: each[number][real] for name, each in maps.items()}
    kind, shown, grid = _shown(data, model, split, real, number)
    return zoo.Explanation(kind, shown, _answer(data, split, subject, number), parts, {}, grid, f"Example {number + 1}")


def _answer(data, split, subject, number):
    """What was answered and what is right, in the words and units that the data came in."""
    row = None if subject.row is None else int(subject.row[number])
    right = split.y[number] if row is None or split.y.ndim < 2 else split.y[number, row]
    said, form = subject.said[number], data.form or {}
    if form.get("kind") == "forecast":
        names, numbers = (
            form["columns"]["targets"],
            data.preprocessor.restore(np.stack([subject.outputs[number], right])),
        )
        each = [f"{name} {one:.4g}, right is {other:.4g}" for name, one, other in zip(names, *numbers, strict=True)]
        more = "; and more" * (len(each) > TARGETS)
        return f"Forecast {row + 1} step{'s' * (row > 0)} ahead: {'; '.join(each[:TARGETS])}{more}."
    where = "" if row is None else f" at position {row}"
    if form.get("classes"):
        return f"Answered{where}: {form['classes'][int(said)]}; right is {form['classes'][int(right)]}."
    if "deviation" in form:
        said, right = (numbers * form["deviation"] + form["mean"] for numbers in (said, right))
    if np.size(right) > 1:
        return f"Answered{where}: {said:.3g}, the mean of {np.size(right)} numbers; right is {np.mean(right):.3g}."
    return f"Answered{where}: {said:.4g}; right is {np.mean(right):.4g}."


def _shown(data, model, split, real, number):
    """What is looked at: kind, labels or numbers, and of an image the grid of its positions."""
    x, sound = probes.main(split.x), isinstance(split.x, dict) and "frames" in split.x
    if np.issubdtype(x.dtype, np.integer):
        ids = x[number][real]
        tokenizer = getattr(data.preprocessor, "tokenizer", None)
        return "text", tuple(str(int(i)) if tokenizer is None else tokenizer.id_to_token(int(i)) for i in ids), None
    if x.ndim == 4:
        patch = model.backbone.patch_size
        return "image", x[number], (x.shape[1] // patch, x.shape[2] // patch)
    # Of a series that enters by patches there are as many positions.
    shown = x[number][real] if len(real) == x.shape[1] else x[number]
    if sound:
        return "sound", shown, None
    if data.form is not None and hasattr(data.preprocessor, "deviation"):
        # Own series were standardised.
        shown = shown * np.array(data.preprocessor.deviation) + np.array(data.preprocessor.mean)
    return "series", shown, None
