"""`keras-attn data`: which real data there is, getting it, and whether it is what the zoo's models were trained on."""

from typing import Annotated

import typer

from tuning.terminal import FAILED, errors_in_words, start_backend

app = typer.Typer(help="Real data: list it, fetch it, verify it.", no_args_is_help=True)


@app.command("list")
def list_data():
    """List the data sets: what for, under which licence, and where they lie."""
    with errors_in_words():
        start_backend(None)
        from zoo.datasets import holdings

        for holding in holdings.look_at_all():
            about = holding.about
            typer.echo(f"{holding.name:<18} {about.task}")
            typer.echo(f"{'':<18} Licence: {about.licence}. Weights trained on it {about.weights}.")
            typer.echo(f"{'':<18} {_say_where(holding)}")


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="A data set's name: see `keras-attn data list`.")]):
    """Fetch what is missing of a data set from its public source. Interrupted, the same command goes on."""
    with errors_in_words():
        start_backend(None)
        from zoo.datasets import holdings

        fetched = holdings.fetch(name)
        typer.echo(f"Fetched: {', '.join(fetched)}" if fetched else "All of it is there already.")
        typer.echo(_say_where(holdings.look(name)))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A data set's name; else all of which something is there.")] = None,
):
    """Compare the content of files with stored checksums."""
    with errors_in_words():
        start_backend(None)
        from zoo.datasets import holdings

        looked = [holdings.look(name)] if name else [found for found in holdings.look_at_all() if found.folders]
        if not looked:
            typer.echo("There is no data here: see `keras-attn data list`.")
        good = bool(looked)
        for holding in looked:
            found = holdings.verify(holding.name)
            for file in holding.paths:
                said = {True: "right", False: "NOT what it should be", None: "missing"}[found.get(file)]
                typer.echo(f"{holding.name}/{file}: {said}")
            good &= len(found) == len(holding.paths) and all(found.values())
        if not good:
            raise typer.Exit(FAILED)


def _say_where(holding):
    where = f"At {' and '.join(map(str, holding.folders))}" if holding.folders else "Not here"
    if holding.missing and holding.folders:
        where += f", without {', '.join(holding.missing)}"
    if not holding.missing:
        return f"{where}."
    if holding.about.by_hand:
        return f"{where}. It is not fetched automatically: `keras-attn data fetch {holding.name}` says what to do."
    return f"{where}. Get it: `keras-attn data fetch {holding.name}`."
