"""The options of `keras-attn tune` that bring data: those of `tuning.task_from`, in the same words."""

from typing import Annotated

import typer

PANEL = {"rich_help_panel": "Own data instead of a task"}

Train = Annotated[str | None, typer.Option(help="Data: .csv, .tsv, .jsonl, .parquet or .npz (x, y).", **PANEL)]
Test = Annotated[str | None, typer.Option(help="The same, to judge by only; else a tenth of the data.", **PANEL)]
Text = Annotated[str | None, typer.Option(help="The column of texts.", **PANEL)]
Label = Annotated[str | None, typer.Option(help="The column of classes or numbers, or the one to forecast.", **PANEL)]
Tokens = Annotated[str | None, typer.Option(help="The column of words.", **PANEL)]
Tags = Annotated[str | None, typer.Option(help="The column of their tags.", **PANEL)]
Pairs = Annotated[
    tuple[str, str] | None,
    typer.Option(help="Columns of texts, and of the texts they become.", metavar="SOURCE TARGET", **PANEL),
]
Images = Annotated[str | None, typer.Option(help="A folder with a folder of images for each class.", **PANEL)]
Series = Annotated[
    str | None, typer.Option(help="A table: rows are series (with --label) or steps (with --horizon).", **PANEL)
]
Horizon = Annotated[int | None, typer.Option(help="Steps to forecast.", **PANEL)]
Ahead = Annotated[
    list[str] | None, typer.Option(help="A column that is known of the steps ahead too; again for more.", **PANEL)
]
Group = Annotated[str | None, typer.Option(help="A column: none of its values is in two splits.", **PANEL)]
Time = Annotated[str | None, typer.Option(help="A column: the later is judged by.", **PANEL)]
Predict = Annotated[str | None, typer.Option(help="classes or numbers, where labels may be either.", **PANEL)]

#: What of the command's options is for `task_from`.
NAMES = (
    *("train", "test", "text", "label", "tokens", "tags", "pairs"),
    *("images", "series", "horizon", "ahead", "group", "time", "predict"),
)


def task_of(name, **words):
    """The task of that name, or one of the data that the options name.

    Raises:
        ValueError: if both or neither are given, or the data is wrong.
    """
    from tuning import task_from

    # An option that may come several times is an empty list if it does not come.
    given = {option: value for option, value in words.items() if value not in (None, [])}
    if name is not None and given:
        raise ValueError(f"Give a task's name or data, not both. Received: {name} and --{next(iter(given))}")
    if name is None and not given:
        raise ValueError("Give a task's name (see `keras-attn tasks`) or data: --train, --images or --series.")
    return name if name is not None else task_from(**words, verbose=False)
