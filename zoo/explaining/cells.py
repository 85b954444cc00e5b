"""The positions that an explanation shows, and what is differentiated by to find what counts at them."""

from typing import NamedTuple

import numpy as np

#: The most positions that a series is cut into; a model's own are shown if they are at most four times as many.
SPANS = 64


class Given(NamedTuple):
    """An input as read.

    `inputs` is what the model is called with, with a batch axis; `subject` what is shown: labels, an image `(H, W, C)`,
    or a series or a sound's frames `(T, C)`. Of `places` that a model's layers have, `real` are no padding, where that
    is known. `at` names the layer whose output is differentiated by, where it is not the input. `asked` is a question
    about the subject, if there is one.
    """

    kind: str
    inputs: object
    subject: object
    places: int = 0
    real: int = 0
    at: str | None = None
    asked: str = ""

    def of_real(self, look):
        """A map `(H, T, S)` without the padding of `places`."""
        rows, columns = (self.real if size == self.places else size for size in look.shape[1:])
        return look[:, :rows, :columns]


class Cells(NamedTuple):
    """The positions that are shown, and what is differentiated by: pixels and times, of which cells are made later.

    `x` is what `function(model)` takes instead of the model's inputs; `cell` is the cell of each position of x, or -1
    for padding, which is none.
    """

    count: int
    grid: tuple | None
    x: object
    function: object
    cell: np.ndarray

    def pool(self, values):
        """Adds up, of the last axis, all that falls into a cell: `(..., N)` to `(..., cells)`."""
        found = np.zeros((*values.shape[:-1], self.count), dtype=values.dtype)
        np.add.at(found, (..., self.cell[self.cell >= 0]), values[..., self.cell >= 0])
        return found

    def can_pool_rows(self, length):
        return length == self.count or self.grid is None

    def pool_rows(self, look):
        """`(T, cells)` to `(cells, cells)`: rows of a cell are added up; if the layer has others, the nearest."""
        length = len(look)
        if length == len(self.cell):
            return self.pool(look.T).T
        return look[np.arange(self.count) * length // self.count]

    def of_weights(self, weights):
        """Weights over the cells as they are, without padding; None if they are over other places."""
        rows, columns = weights.shape[1:]
        real = self.cell >= 0
        if columns == len(real) and real.sum() == self.count and rows in (1, len(real)):
            return weights[:, :, real] if rows == 1 else weights[:, real][:, :, real]
        return weights if columns == self.count and rows in (1, self.count) else None

    def of_columns(self, weights):
        """The same whatever stands in the rows."""
        real = self.cell >= 0
        if weights.shape[2] == len(real) and real.sum() == self.count:
            return weights[:, :, real]
        return weights if weights.shape[2] == self.count else None
