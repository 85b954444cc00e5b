"""Reports of a finished search: Markdown, HTML in one file, JSON. They only read what lies in its folder."""

import dataclasses
from pathlib import Path

from tuning import looks, result, weighing
from tuning.journal import write_json, write_whole
from tuning.reporting import figures, hparams, words

TEMPLATES = {"report.md": "report.md.jinja", "report.html": "report.html.jinja"}
FIGURES, JSON = "figures", "report.json"


def report(folder, weigh=None):
    """Writes the reports of a finished search again from its results.json.

    Args:
        folder: the search's folder.
        weigh: weights by the names of `tuning.weighing.FACTORS`, such as `{"latency": 2, "score": 1}`, or as a command
            line has them; the reports then say which family they choose. None for none.

    Returns:
        The paths of the reports: Markdown, HTML, then JSON.

    Raises:
        SearchFolderError: if there are no results, or they cannot be read.
        ValueError: for weights that are none.
    """
    folder = Path(folder)
    weights = weighing.parse(weigh) if isinstance(weigh, str) else weigh
    if weights is not None:
        weighing.check(weights)
    found = result.load(folder)
    drawn = figures.draw(found)
    (folder / FIGURES).mkdir(exist_ok=True)
    for name, drawing in drawn.items():
        _write(folder / FIGURES / f"{name}.svg", drawing)
    shown = words.collect(found, weights, looks.load(folder))
    for name, template in TEMPLATES.items():
        _write(folder / name, _environment().get_template(template).render(shown, figures=drawn))
    write_json(folder / JSON, _as_json(shown))
    hparams.write(folder, found)
    return [folder / name for name in (*TEMPLATES, JSON)]


def _as_json(shown):
    """What the reports show, for programs; pictures lie beside."""
    plain = {**shown, "verdict": dataclasses.asdict(shown["verdict"])}
    if shown["looks"]:
        examples = [{key: each[key] for key in each if key != "picture"} for each in shown["looks"]["examples"]]
        plain["looks"] = {**shown["looks"], "examples": examples}
    return plain


def _write(path, text):
    with write_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def _environment():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuning.reporting", "."),
        # A task or a failure may be called anything.
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(md=words.escape_markdown, data_uri=figures.as_data_uri)
    return environment
