"""Reports of a finished search, for people: Markdown, and HTML in one file. They only read what is in results.json."""

from pathlib import Path

from tuning import result
from tuning.journal import write_whole
from tuning.reporting import figures, words

TEMPLATES = {"report.md": "report.md.jinja", "report.html": "report.html.jinja"}
FIGURES = "figures"


def report(folder):
    """Writes the reports of a finished search again from its results.json.

    Args:
        folder: the search's folder.

    Returns:
        The paths of the reports: Markdown, then HTML.

    Raises:
        SearchFolderError: if there are no results, or they cannot be read.
    """
    folder = Path(folder)
    found = result.load(folder)
    drawn = figures.draw(found)
    (folder / FIGURES).mkdir(exist_ok=True)
    for name, drawing in drawn.items():
        _write(folder / FIGURES / f"{name}.svg", drawing)
    for name, template in TEMPLATES.items():
        _write(folder / name, _environment().get_template(template).render(words.collect(found), figures=drawn))
    return [folder / name for name in TEMPLATES]


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
