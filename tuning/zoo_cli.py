"""`keras-attn zoo`: the presets that come along, from the command line."""

from typing import Annotated

import typer

from tuning.terminal import errors_in_words, start_backend

app = typer.Typer(add_completion=False)

NAME = Annotated[str, typer.Argument(help="A preset's name (see `keras-attn zoo list`), or its folder.")]
BACKEND = Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")]


@app.callback(invoke_without_command=True)
def main(context: typer.Context):
    """List, show, evaluate or ask the trained models that come with the project."""
    if context.invoked_subcommand is None:
        list_presets()


@app.command("list")
def list_presets():
    """List the presets: what they do, kind of attention, score on test, size."""
    with errors_in_words():
        start_backend(None)
        from zoo import store

        cards = store.presets()
        wide = max(map(len, cards))
        for name, card in cards.items():
            typer.echo(f"{name:<{wide}}  {card['summary']}")
            size = f"{card['parameters']:,} parameters"
            typer.echo(f"{'':<{wide}}  {card['kind']}; {card['score_is']} {card['test_score']:.3f}; {size}")


@app.command()
def show(name: NAME):
    """Show the card of a preset."""
    with errors_in_words():
        start_backend(None)
        from rich.console import Console
        from rich.markdown import Markdown

        from zoo import cards, store

        text, console = cards.as_markdown(store.card(name)), Console()
        if console.is_terminal:
            console.print(Markdown(text))
        else:
            typer.echo(text.rstrip())


@app.command()
def evaluate(name: NAME, backend: BACKEND = None):
    """Measure the scores of a preset anew on its test data, beside that of its card."""
    with errors_in_words():
        start_backend(backend)
        from zoo import store
        from zoo.subjects import SUBJECTS

        card = store.card(name)
        if card.get("subject") not in SUBJECTS:
            raise ValueError(
                f"{name} cannot be judged anew: its card must name a subject, one of {', '.join(SUBJECTS)}. "
                f"Received: {card.get('subject')!r}"
            )
        task, subject = store.load(name), SUBJECTS[card["subject"]]
        typer.echo(subject.data)
        found = subject.judge(task)
        for label, value in {subject.measure: found.pop("score"), **found}.items():
            typer.echo(f"{label}: {value:.4f}")
        typer.echo(f"On its card: {card['test_score']:.4f}")


@app.command()
def predict(
    name: NAME,
    given: Annotated[str, typer.Argument(metavar="INPUT", help="A text, or a file: an image, .wav, .npy or .csv.")],
    backend: BACKEND = None,
):
    """Ask a preset about one input.

    Of a file of numbers the rows are steps and the columns channels. A preset that is told what is known of the steps
    ahead takes these as the last rows, as many as it forecasts: what is known is filled in there, all else is empty.
    """
    with errors_in_words():
        start_backend(backend)
        from zoo import answering

        for line in answering.answer(name, given):
            typer.echo(line)
