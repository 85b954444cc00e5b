"""Training batches, in an order that depends on seed and epoch alone."""

import keras
import numpy as np


class Shuffled(keras.utils.PyDataset):
    """One epoch of training batches of examples of one size.

    The last examples that do not fill a batch are left out: they are others in each epoch.

    Args:
        inputs, targets: each an array, or a dict or tuple of arrays, with one row an example.
        batch_size: examples in a batch; all of them if there are not so many.
        seed: a list of integers, for example `[seed, epoch]`.
        weights: shares of the loss, one row an example; None for equal ones.
        change: a function of a random generator and a batch of inputs that gives others, to train on more than there
            is; None to leave them.
    """

    def __init__(self, inputs, targets, batch_size, seed, weights=None, change=None, **kwargs):
        super().__init__(**kwargs)
        self.columns = (inputs, targets) if weights is None else (inputs, targets, weights)
        self.seed = seed
        self.change = change
        count = len(next(iter(keras.tree.flatten(inputs))))
        order = np.random.default_rng(seed).permutation(count)
        self.rows = order[: max(1, count // batch_size) * batch_size].reshape(-1, min(batch_size, count))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        rows = self.rows[index]
        inputs, *others = (keras.tree.map_structure(lambda x: x[rows], column) for column in self.columns)
        if self.change is not None:
            inputs = self.change(np.random.default_rng([*self.seed, index]), inputs)
        return inputs, *others


class StoryBatches(Shuffled):
    """One epoch of training batches of stories with questions, those of few sentences apart from those of many.

    Within these two groups they are of any length: to sort them would put questions of one kind together.

    Args:
        inputs: `{"story": (N, S, J), "question": (N, J)}`, arrays, 0 for padding.
        targets: one row a question.
        batch_size: questions in a batch; all of them if there are not so many.
        seed: a list of integers, for example `[seed, epoch]`.
    """

    #: The most sentences of a short story.
    SHORT = 10

    def __init__(self, inputs, targets, batch_size, seed, **kwargs):
        super().__init__(inputs, targets, batch_size, seed, **kwargs)
        order, long = self.rows.reshape(-1), self.are_long(inputs)
        rows = order[np.argsort(long[order], kind="stable")].reshape(self.rows.shape)
        rows = np.random.default_rng(seed).permutation(rows)
        self.rows = _widest_first(rows, long[rows].max(axis=1))

    @classmethod
    def are_long(cls, inputs):
        """Which stories have more than `SHORT` sentences, `(N,)`."""
        return inputs["story"][:, cls.SHORT :].any(axis=(1, 2))

    @classmethod
    def cut(cls, inputs, rows):
        """These rows of the inputs, without what none of their stories needs."""
        inputs = {name: each[rows] for name, each in inputs.items()}
        width = None if cls.are_long(inputs).any() else cls.SHORT
        return {**inputs, "story": inputs["story"][:, :width]}

    def __getitem__(self, index):
        inputs, targets = self.columns
        rows = self.rows[index]
        return self.cut(inputs, rows), targets[rows]


class Batches(keras.utils.PyDataset):
    """One epoch of training batches of texts of like length.

    Texts are shuffled, then sorted by length within pools of batches, so that little is padding. The last texts that do
    not fill a batch are left out: they are others in each epoch.

    Args:
        inputs: `{"token_ids": (N, T), "padding_mask": (N, T)}`, arrays.
        targets: `(N, classes)`.
        batch_size: texts in a batch.
        seed: a list of integers, for example `[seed, epoch]`.
        unknown_id: what a dropped token becomes.
        word_dropout: share of the tokens dropped, in [0, 1).
        weights: shares of the loss, `(N, T)`, for targets of each token, `(N, T)`; None for one target a text.
    """

    #: Widths are multiples of it: each new width is compiled anew.
    STEP = 8
    POOL = 50

    def __init__(self, inputs, targets, batch_size, seed, unknown_id, word_dropout=0.0, weights=None, **kwargs):
        super().__init__(**kwargs)
        self.inputs = inputs
        self.targets = targets
        self.seed = seed
        self.unknown_id = unknown_id
        self.word_dropout = word_dropout
        self.weights = weights
        self.rows = self._arrange(batch_size)

    def _arrange(self, batch_size):
        """Which texts stand in each batch: `(batches, batch_size)`."""
        random = np.random.default_rng(self.seed)
        lengths = self.inputs["padding_mask"].sum(axis=1)
        order = random.permutation(len(lengths))
        order = order[: len(order) // batch_size * batch_size]
        pools = np.array_split(order, max(1, len(order) // (batch_size * self.POOL)))
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        rows = random.permutation(order.reshape(-1, batch_size))
        return _widest_first(rows, lengths[rows].max(axis=1))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        rows = self.rows[index]
        mask = self.inputs["padding_mask"][rows]
        longest = int(mask.sum(axis=1).max())
        width = min(-(-longest // self.STEP) * self.STEP, mask.shape[1])
        ids = self.inputs["token_ids"][rows]
        dropped = np.random.default_rng([*self.seed, index]).random(ids.shape) < self.word_dropout
        ids = np.where(dropped & (mask > 0), self.unknown_id, ids)
        inputs = {"token_ids": ids[:, :width], "padding_mask": mask[:, :width]}
        if self.weights is None:
            return inputs, self.targets[rows]
        return inputs, self.targets[rows, :width], self.weights[rows, :width]


class Recordings(Batches):
    """One epoch of training batches of recordings of like length.

    Args:
        inputs: `{"frames": (N, T, C), "padding_mask": (N, T)}`, arrays.
        targets: one row a recording.
        batch_size: recordings in a batch; all of them if there are not so many.
        seed: a list of integers, for example `[seed, epoch]`.
        change: a function of a random generator and a batch of inputs that gives others, to train on more than there
            is; None to leave them.
    """

    STEP = 64
    #: Fewer than of texts, of which there are more.
    POOL = 8

    def __init__(self, inputs, targets, batch_size, seed, change=None, **kwargs):
        super().__init__(inputs, targets, min(batch_size, len(targets)), seed, unknown_id=None, **kwargs)
        self.change = change

    def __getitem__(self, index):
        rows = self.rows[index]
        longest = int(self.inputs["padding_mask"][rows].sum(axis=1).max())
        width = -(-longest // self.STEP) * self.STEP
        inputs = {name: x[rows, :width] for name, x in self.inputs.items()}
        if self.change is not None:
            inputs = self.change(np.random.default_rng([*self.seed, index]), inputs)
        return inputs, self.targets[rows]


class PairBatches(keras.utils.PyDataset):
    """One epoch of training batches of sources and targets, each of like length.

    Args:
        sources: `{"encoder_token_ids": (N, S), "encoder_padding_mask": (N, S)}`, arrays.
        token_ids, padding_mask: of the targets, `(N, T + 1)`, between start and end.
        batch_size: pairs in a batch; all of them if there are not so many.
        seed: a list of integers, for example `[seed, epoch]`.
        unknown_id: what a dropped token becomes.
        word_dropout: share of the target's tokens, as the decoder is told of them, that are dropped, in [0, 1).
    """

    #: Widths are multiples of it: each new pair of widths is compiled anew.
    STEP = 16

    def __init__(self, sources, token_ids, padding_mask, batch_size, seed, unknown_id, word_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.sources = sources
        self.token_ids = token_ids
        self.padding_mask = padding_mask
        self.seed = seed
        self.unknown_id = unknown_id
        self.word_dropout = word_dropout
        self.rows = self._arrange(min(batch_size, len(token_ids)))

    def _arrange(self, batch_size):
        random = np.random.default_rng(self.seed)
        sources, targets = self.sources["encoder_padding_mask"].sum(axis=1), self.padding_mask.sum(axis=1)
        order = random.permutation(len(targets))
        order = order[: len(order) // batch_size * batch_size]
        pools = np.array_split(order, max(1, len(order) // (batch_size * Batches.POOL)))
        order = np.concatenate([pool[np.lexsort((sources[pool], targets[pool]))] for pool in pools])
        rows = random.permutation(order.reshape(-1, batch_size))
        return _widest_first(rows, (sources + targets)[rows].max(axis=1))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        rows = self.rows[index]
        source_width = _width(self.sources["encoder_padding_mask"][rows])
        inputs = {
            name: self.sources[name][rows, :source_width] for name in ("encoder_token_ids", "encoder_padding_mask")
        }
        ids, mask = self.token_ids[rows], self.padding_mask[rows]
        # The targets are the decoder's tokens and the one that follows.
        width = _width(mask[:, 1:])
        dropped = np.random.default_rng([*self.seed, index]).random(ids.shape) < self.word_dropout
        dropped[:, 0] = False
        told = np.where(dropped & (mask > 0), self.unknown_id, ids)
        inputs |= {"decoder_token_ids": told[:, :width], "decoder_padding_mask": mask[:, :width]}
        return inputs, ids[:, 1 : width + 1], mask[:, 1 : width + 1].astype("float32")


def _width(mask):
    """How wide a batch must be: a multiple of `PairBatches.STEP`, as far as there is."""
    longest = int(mask.sum(axis=1).max())
    return min(-(-longest // PairBatches.STEP) * PairBatches.STEP, mask.shape[1])


def _widest_first(rows, longest):
    """The rows `(batches, batch_size)` with the widest batch and the narrowest in front.

    On TensorFlow, Keras takes the axes on which the first two batches agree to be the same in all.
    """
    first = list(dict.fromkeys([longest.argmax(), longest.argmin()]))
    return np.concatenate([rows[first], np.delete(rows, first, axis=0)])
