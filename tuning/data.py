"""`keras-attn data`: which real data there is, getting it, and whether it is what the zoo's models were trained on."""

from typing import Annotated

import typer

app = typer.Typer(help="Real data: list it, fetch it, verify it.", no_args_is_help=True)


@app.command("list")
def list_data():
    """List the data sets: what for, under which licence, and where they lie."""
    for holding in _holdings().look_at_all():
        about = holding.about
        typer.echo(f"{holding.name:<18} {about.task}")
        typer.echo(f"{'':<18} Licence: {about.licence}. Weights trained on it {about.weights}.")
        typer.echo(f"{'':<18} {_say_where(holding)}")


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="A data set's name: see `keras-attn data list`.")]):
    """Fetch what is missing of a data set from its public source. Interrupted, the same command goes on."""
    holdings = _holdings()
    with _in_words():
        fetched = holdings.fetch(name)
        typer.echo(f"Fetched: {', '.join(fetched)}" if fetched else "All of it is there already.")
        typer.echo(_say_where(holdings.look(name)))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A data set's name; else all of which something is there.")] = None,
):
    """Compare the content of files with stored checksums."""
    holdings = _holdings()
    with _in_words():
        looked = holdings.look_at_all() if name is None else [holdings.look(name)]
        looked = [holding for holding in looked if holding.folders or name is not None]
        good = bool(looked)
        for holding in looked:
            found = holdings.verify(holding.name)
            for file in holding.paths:
                said = {True: "right", False: "NOT what it should be", None: "missing"}[found.get(file)]
                typer.echo(f"{holding.name}/{file}: {said}")
            good &= len(found) == len(holding.paths) and all(found.values())
        if not looked:
            typer.echo("There is no data here: see `keras-attn data list`.")
    if not good:
        raise typer.Exit(1)


def _say_where(holding):
    where = f"At {' and '.join(map(str, holding.folders))}" if holding.folders else "Not here"
    if holding.missing and holding.folders:
        where += f", without {', '.join(holding.missing)}"
    if not holding.missing:
        return f"{where}."
    if holding.about.by_hand:
        return f"{where}. It is not fetched automatically: `keras-attn data fetch {holding.name}` says what to do."
    return f"{where}. Get it: `keras-attn data fetch {holding.name}`."


def _holdings():
    """Imported late: with the zoo comes all of Keras."""
    from tuning.cli import _start_backend

    with _in_words():
        _start_backend(None)
    from zoo.datasets import holdings

    return holdings


def _in_words():
    from tuning.cli import _errors_in_words

    return _errors_in_words()
