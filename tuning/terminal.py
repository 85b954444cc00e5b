"""What all commands share: the backend they start with, and errors in words."""

import contextlib
import importlib.util
import logging
import os
import sys

import typer

BACKENDS = ("tensorflow", "jax", "torch")
INTERRUPTED, WRONG, FAILED = 130, 2, 1


class errors_in_words:
    """What a person did wrong is said in a line, without a traceback; a fault of ours keeps it."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            return
        if issubclass(kind, KeyboardInterrupt):
            typer.echo("Interrupted. Give the same command again to go on: finished runs are kept.", err=True)
            raise typer.Exit(INTERRUPTED)
        if kind.__name__ == "SearchFailed":
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(FAILED)
        if issubclass(kind, (ValueError, FileNotFoundError)):
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(WRONG)
        if issubclass(kind, BrokenPipeError):
            return  # Who reads has enough: typer ends then, without a word.
        if issubclass(kind, OSError) and error.strerror is not None:
            where = "" if error.filename is None else f"{error.filename}: "
            typer.echo(f"Error: {where}{error.strerror}", err=True)
            raise typer.Exit(WRONG)


@contextlib.contextmanager
def status():
    """A function that shows what is being done, where somebody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("preparing") if console.is_terminal else contextlib.nullcontext() as status:
        yield status.update if status else lambda step: None


def start_backend(name):
    """Imports Keras and KerasHub with the backend of that name; None leaves the choice to Keras."""
    name = name or os.environ.get("KERAS_BACKEND")
    if name:
        _check_backend(name)
        os.environ["KERAS_BACKEND"] = name
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _silence():
        import zoo  # noqa: F401


def _check_backend(name):
    if name not in BACKENDS:
        raise ValueError(f"The backend must be one of {', '.join(BACKENDS)}. Received: {name}")
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"The backend {name} is not installed: `pip install {name}`, or name another one.")


@contextlib.contextmanager
def _silence():
    """Nothing on standard error, not even from C++: TensorFlow greets there whatever it is told."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
