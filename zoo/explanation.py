"""What a model looks at on one input: the maps as data, and how they become a page or a picture."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_attn._figure import ENDINGS, check_path
from keras_attn.inspection import page, pictures
from keras_attn.inspection.page import ENDINGS as PAGES

KINDS = ("text", "image", "series")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Maps of one input, by name.

    Args:
        kind: "text", "image" or "series".
        subject: what was looked at: labels of S positions, an image `(H, W, C)`, or a series `(N, C)`.
        answer: what the model said, in words.
        parts: maps `(S,)`: what each position adds to the answer, and how far it depends on each.
        looks: maps `(H, T, S)`: what positions look at, T = S, or what the answer looks at, T = 1.
        grid: `(rows, columns)` of an image's positions; None if it is none.
        title: what was explained.
        notes: what else is to be known: what maps leave unexplained, and what was left out.
    """

    kind: str
    subject: object
    answer: str
    parts: dict
    looks: dict
    grid: tuple | None = None
    title: str = ""
    notes: tuple = ()

    def save(self, path):
        """Writes a page (.html) or a picture (.png, .svg, .pdf), by the path's ending."""
        check_path(path, (*PAGES, *ENDINGS))
        if Path(path).suffix.lower() in PAGES:
            self.page(path)
        else:
            self.picture(path)

    def page(self, path=None):
        """The page, as text: see `keras_attn.inspection.page`."""
        where = {
            "text": {"positions": self.subject},
            "image": {"image": self.subject, "grid": self.grid},
            "series": {"series": self.subject},
        }
        notes = (self.answer, *self.notes)
        return page({**self.looks, **self.parts}, title=self.title, notes=notes, path=path, **where[self.kind])

    def picture(self, path=None):
        """The `matplotlib.figure.Figure`: maps of positions, then those of pairs of them."""
        drawings = {"text": self._text, "image": self._image, "series": self._series}[self.kind]()
        return pictures.draw_together(drawings, title=self.title, path=path)

    def _text(self):
        by_rows = {True: {}, False: {}}
        for name, each in self.looks.items():
            by_rows[each.shape[1] > 1][name] = each
        strips = {**self.parts, **_strips(by_rows[False])}
        drawings = [pictures.tokens_drawing(self.subject, strips)] if strips else []
        # Each by itself: weights and sensitivities have no common scale.
        return drawings + [
            pictures.matrices_drawing({name: each}, self.subject) for name, each in by_rows[True].items()
        ]

    def _image(self):
        return [pictures.image_drawing(self.subject, {**self.parts, **_strips(self.looks)}, self.grid)]

    def _series(self):
        return [pictures.series_drawing(self.subject, {**self.parts, **_strips(self.looks)})]


def _strips(looks):
    """What of each position is looked at: the mean over heads and over the positions that look."""
    return {f"{name}, mean": np.mean(each, axis=(0, 1)) for name, each in looks.items()}
