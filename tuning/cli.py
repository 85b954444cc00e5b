"""The command line: each command is one call of a public function with the same words.

Keras is imported by the calls, not here, so that a backend can be chosen first and `--help` is quick.
"""

import contextlib
import importlib.metadata
import os
from pathlib import Path
from typing import Annotated

import typer

from tuning import data_cli, zoo_cli
from tuning.own import options as own
from tuning.terminal import FAILED, errors_in_words, start_backend, status

WEIGH = Annotated[
    str | None, typer.Option(help="What matters, and how much: latency=2,score=1. Reports say what to take then.")
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_cli.app, name="data")
app.add_typer(zoo_cli.app, name="zoo")


def _say_version(wanted):
    if wanted:
        typer.echo(importlib.metadata.version("keras-attn"))
        raise typer.Exit


@app.callback()
def of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and end.")
    ] = False,
):
    """Implicit or explicit attention? Searches that say which serves a task best, and reports that show why."""


@app.command("tasks")
def list_tasks():
    """List the tasks that come with the project."""
    from tuning import tasks

    wide = max(map(len, tasks.names()))
    for name in tasks.names():
        task = tasks.get(name)
        typer.echo(f"{name:<{wide}} {task.description}")
        typer.echo(f"{'':<{wide}} Published: {task.answer or 'nothing'}. Needs: {task.needs or 'nothing'}.")
        said = tasks.real.claim(name)
        if said:
            typer.echo(f"{'':<{wide}} Commonly said: {said}.")


@app.command()
def tune(
    out: Annotated[Path, typer.Option(help="Folder for results, reports and models. The same command goes on there.")],
    task: Annotated[
        str | None, typer.Argument(help="A task's name (see `keras-attn tasks`), unless data is given.")
    ] = None,
    mixers: Annotated[
        str | None,
        typer.Option(help='Who takes part, such as gru,gru+multi_head,{"mixer": "multi_head", "num_heads": 2}.'),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Whole runs for each family, on average.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Fresh seeds for each finalist.")] = None,
    seed: Annotated[int, typer.Option(help="The master seed.")] = 0,
    parameters: Annotated[int | None, typer.Option(help="Parameters of each model, within 10 %.")] = None,
    width: Annotated[int | None, typer.Option(help="One width for all models instead of equal parameters.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a whole run.")] = None,
    proposer: Annotated[
        str, typer.Option(help="What proposes within a family: random, bayesian or hyperband.")
    ] = "random",
    workers: Annotated[int, typer.Option(help="Processes that do the runs, side by side; 0 for this one alone.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="The longest that a worker's run may take.")] = None,
    memory: Annotated[float | None, typer.Option(help="The most memory that a worker may use, in GiB.")] = None,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")] = None,
    budget: Annotated[
        str, typer.Option(help="What all models have alike: parameters, flops or time, or an amount of it: flops=2e6.")
    ] = "parameters",
    record: Annotated[
        list[Path] | None,
        typer.Option(help="A file of past verdicts to be advised by, beside those that come along; see `remember`."),
    ] = None,
    advice: Annotated[bool, typer.Option(help="Begin with what past verdicts let expect to win.")] = True,
    weigh: WEIGH = None,
    train: own.Train = None,
    test: own.Test = None,
    text: own.Text = None,
    label: own.Label = None,
    tokens: own.Tokens = None,
    tags: own.Tags = None,
    pairs: own.Pairs = None,
    images: own.Images = None,
    series: own.Series = None,
    horizon: own.Horizon = None,
    ahead: own.Ahead = None,
    group: own.Group = None,
    time: own.Time = None,
    predict: own.Predict = None,
):
    """Search, retrain the best of each kind on fresh seeds, decide, report."""
    words = {name: value for name, value in locals().items() if name in own.NAMES}
    with errors_in_words():
        weights = _weights(weigh)
        start_backend(backend)
        task = own.task_of(task, **words)
        if not isinstance(task, str):
            typer.echo(task.description)
        found = _compare(
            task,
            mixers=mixers,
            trials=trials,
            seeds=seeds,
            seed=seed,
            out=out,
            parameters=parameters,
            width=width,
            epochs=epochs,
            proposer=proposer,
            workers=workers,
            limits=_limits(seconds, memory),
            budget=budget,
            record=_record(record, advice),
        )
        if weights is not None:
            _report(out, weights)
        _show(found, out, weights)
        if not any(family.finished for family in found.families):
            raise typer.Exit(FAILED)


@app.command("predict")
def answer(
    model: Annotated[Path, typer.Argument(help="A model of a search on own data, such as DIR/models/implicit.")],
    file: Annotated[str, typer.Argument(help="Data of the form of the training data, with or without answers.")],
    out: Annotated[Path | None, typer.Option(help="A .csv file to write; else the answers are printed.")] = None,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")] = None,
):
    """Answer the rows of a file with the winner of a search on own data."""
    with errors_in_words():
        start_backend(backend)
        import tuning

        found = tuning.predict(model, file, out)
        typer.echo(found.to_csv(index=False).rstrip() if out is None else f"Written: {out}, {len(found):,} rows")


@app.command()
def advise(
    task: Annotated[str, typer.Argument(help="A task's name: see `keras-attn tasks`.")],
    record: Annotated[
        list[Path] | None, typer.Option(help="A file of past verdicts, beside those that come along; see `remember`.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The master seed.")] = 0,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")] = None,
):
    """Guess before any search, from past verdicts on tasks that are alike, and say how far to believe it."""
    with errors_in_words():
        start_backend(backend)
        import tuning
        from tuning import record as records
        from tuning.reporting import advice

        with status() as say:
            say("looking at the data, about a minute")
            found = tuning.advise(task, records.load(record or ()), seed)
        advice.show(found)


@app.command()
def remember(
    directory: Annotated[Path, typer.Argument(help="The folder of a finished search.")],
    record: Annotated[Path, typer.Option(help="The file of past verdicts that it is appended to.")],
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")] = None,
):
    """Append what a search found to a record of past verdicts, for `advise`."""
    with errors_in_words():
        start_backend(backend)
        from tuning import record as records

        with status() as say:
            say("looking at the data, about a minute")
            found = records.remember(directory, record)
        typer.echo(f"{found.task}: {found.answer}, explicit less implicit {found.difference:+.3f}. Written: {record}")


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="The folder of a finished search.")],
    weigh: WEIGH = None,
):
    """Write the reports of a finished search again, and say what it found."""
    with errors_in_words():
        from tuning import result

        weights = _weights(weigh)
        _report(directory, weights)
        _show(result.load(directory), directory, weights)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A preset (see `keras-attn zoo`), its folder, or a .keras file.")],
    given: Annotated[str, typer.Argument(metavar="INPUT", help="A text, or a file: an image, .wav, .npy or .csv.")],
    out: Annotated[Path, typer.Option(help="A page (.html) to move over, or a picture (.png, .svg, .pdf).")],
    output: Annotated[int | None, typer.Option(help="The output to explain, from 0; else the largest.")] = None,
    method: Annotated[
        str, typer.Option(help="gradient_x_input, integrated_gradients, smooth_grad or occlusion.")
    ] = "integrated_gradients",
    at: Annotated[str | None, typer.Option(help="The layer that makes vectors of words, if there are several.")] = None,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch; else Keras's own choice.")] = None,
):
    """Show what a model looks at when it answers: weights, sensitivities and shares.

    A file of numbers has the form that `keras-attn zoo predict` takes.
    """
    with errors_in_words():
        start_backend(backend)
        import zoo

        with status() as say:
            found = zoo.explain(model, given, out=out, output=output, method=method, at=at, say=say)
        typer.echo(found.answer)
        for note in found.notes:
            typer.echo(note)
        typer.echo(f"Written: {out}")


def main():
    """The entry point of `keras-attn`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app(prog_name="keras-attn")


def _compare(task, mixers, **options):
    import tuning
    from tuning import families

    chosen = None if mixers is None else families.parse(mixers)
    with _progress() as progress:
        return tuning.compare(task, mixers=chosen, progress=progress, **options)


def _record(files, advice):
    """The past verdicts that an advice is drawn from; None for the package's own."""
    from tuning import record

    if not advice:
        if files:
            raise ValueError("A record is to be advised by. Received: --record with --no-advice")
        return ()
    return record.load(files) if files else None


def _limits(seconds, memory):
    from tuning.isolation import GIB, Limits

    if seconds is None and memory is None:
        return None
    return Limits(seconds, memory and int(memory * GIB))


def _progress():
    from rich.console import Console

    from tuning.progress import Bar, Lines

    console = Console(stderr=True)
    if console.is_terminal:
        return Bar(console)
    return contextlib.nullcontext(Lines(lambda text: typer.echo(text, err=True)))


def _weights(text):
    from tuning import weighing

    return None if text is None else weighing.parse(text)


def _report(folder, weights):
    import tuning

    tuning.report(folder, weigh=weights)


def _show(found, folder, weights=None):
    from tuning.reporting import words

    typer.echo(words.headline(found))
    if weights is not None:
        weighed = found.weigh(weights)
        for line in (words.choice(found, weighed), *weighed.notes):
            typer.echo(line)
    typer.echo(found.verdict.reason)
    for note in found.verdict.notes:
        typer.echo(note)
    if found.advice and found.advice["judgement"]:
        typer.echo(found.advice["judgement"]["words"])
    for line in words.table(found):
        typer.echo(line)
    typer.echo(f"Report: {folder / 'report.html'} and {folder / 'report.md'}; numbers: {folder / 'results.json'}")
    if found.preset:
        typer.echo(f"The winning model: zoo.load({str(folder / found.preset)!r})")
