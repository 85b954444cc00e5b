"""What a model looks at on one input: the maps as data, and how they become a page or a picture."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from keras_attn._figure import ENDINGS, check_path
from keras_attn.inspection import page, pictures
from keras_attn.inspection.page import ENDINGS as PAGES

KINDS = ("text", "image", "series", "sound", "story")
#: How many times as long as high a sound is shown at most.
WIDE = 3


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Maps of one input, by name.

    Args:
        kind: "text", "image", "series", "sound" or "story".
        subject: what was looked at: labels of S positions (tokens, or a story's sentences), an image `(H, W, C)`, a
            series `(N, C)`, or a sound's frames `(N, C)`.
        answer: what the model said, in words.
        parts: maps `(S,)`: what each position adds to the answer, and how far it depends on each.
        looks: maps `(H, T, S)`: what positions look at, T = S, or what the answer looks at, T = 1; or what the T
            words of the answer look at.
        grid: `(rows, columns)` of an image's positions; None if it is none.
        title: what was explained.
        notes: what else is to be known: what maps leave unexplained, and what was left out.
        outputs: the T words of an answer in words; None if the positions themselves look.
    """

    kind: str
    subject: object
    answer: str
    parts: dict
    looks: dict
    grid: tuple | None = None
    title: str = ""
    notes: tuple = ()
    outputs: tuple | None = None

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
            "story": {"positions": self.subject},
            "image": {"image": self.subject, "grid": self.grid},
            "series": {"series": self.subject},
        }
        where = self._bands() if self.kind == "sound" else where[self.kind]
        notes = (self.answer, *self.notes)
        maps = {**self.looks, **self.parts}
        return page(maps, outputs=self.outputs, title=self.title, notes=notes, path=path, **where)

    def _bands(self):
        """A sound as an image: time to the right, bands upward, each as many rows as make it high enough to be seen."""
        times, bands = self.subject.shape
        count = next(iter({**self.looks, **self.parts}.values())).shape[-1]
        rows = max(1, round(times / (WIDE * bands)))
        ends = np.linspace(0, times, count + 1).round(1)
        return {
            "image": np.repeat(self.subject.T[::-1], rows, axis=0),
            "grid": (1, count),
            "positions": [f"frame {start:g} to {end:g}" for start, end in itertools.pairwise(ends)],
        }

    def picture(self, path=None):
        """The `matplotlib.figure.Figure`: maps of positions, then those of pairs of them."""
        kinds = {
            "text": self._text,
            "image": self._image,
            "series": self._series,
            "sound": self._sound,
            "story": self._story,
        }
        return pictures.draw_together(kinds[self.kind](), title=self.title, path=path)

    def _text(self):
        by_rows = {True: {}, False: {}}
        for name, each in self.looks.items():
            by_rows[each.shape[1] > 1 or self.outputs is not None][name] = each
        strips = {**self.parts, **_strips(by_rows[False])}
        drawings = [pictures.tokens_drawing(self.subject, strips)] if strips else []
        return drawings + self._matrices(by_rows[True], self.outputs or self.subject, self.subject)

    def _story(self):
        # A memory's heads are its hops, one after another: each has a strip of its own.
        hops = {name: each for name, each in self.looks.items() if each.shape[1] == 1}
        strips = {f"{name}, hop {hop}": row[0] for name, each in hops.items() for hop, row in enumerate(each, 1)}
        others = {name: each for name, each in self.looks.items() if name not in hops}
        drawings = [pictures.tokens_drawing(self.subject, {**strips, **self.parts})]
        return drawings + self._matrices(others, self.subject, self.subject)

    def _image(self):
        drawings = [pictures.image_drawing(self.subject, {**self.parts, **_strips(self.looks)}, self.grid)]
        for name, each in self.looks.items() if self.outputs is not None else ():
            words = [f"{name}\n{place}. {word}" for place, word in enumerate(self.outputs, 1)]
            drawings.append(pictures.image_drawing(self.subject, dict(zip(words, each.mean(axis=0))), self.grid))
        return drawings

    def _series(self):
        return [pictures.series_drawing(self.subject, {**self.parts, **_strips(self.looks)})]

    def _sound(self):
        where = self._bands()
        strips = {**self.parts, **_strips(self.looks)}
        drawings = [pictures.image_drawing(where["image"], strips, where["grid"], label="sound: bands over time")]
        if self.outputs is not None:
            drawings += self._matrices(self.looks, self.outputs, where["positions"])
        return drawings

    def _matrices(self, maps, outputs, inputs):
        # Each by itself: weights and sensitivities have no common scale.
        return [pictures.matrices_drawing({name: each}, outputs, inputs) for name, each in maps.items()]


def _strips(looks):
    """What of each position is looked at: the mean over heads and over the positions that look."""
    return {f"{name}, mean": np.mean(each, axis=(0, 1)) for name, each in looks.items()}
