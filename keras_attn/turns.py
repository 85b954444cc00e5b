"""A long sequence of queries in the turns of a loop, each with no more keys than its queries may see.

A loop's turns are alike, so they see equally many keys. Where a narrow pattern says which, each turn starts at a key of
its own. Under causality alone there are several loops, one after the other, each over the keys up to its last query.
Turns of a loop and not steps side by side, for a compiler that sees them side by side keeps them all at once.

What belongs to keys is summed up from turn to turn, but where each turn has a window of its own: a turn that adds to a
few of all keys copies all of them, wherever nothing says that it need not. There each turn keeps what it found, and in
the end each block of keys collects from the turns whose windows reach it.
"""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from keras_attn.sight import Sight, window

#: Loops under causality: more of them skip more, and take longer to compile.
CAUSAL_LOOPS = 8


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the keys, for the queries of one turn.

    Attributes:
        keys: a slice of all keys, or None where a turn has a window of its own.
        start, width: the first key of that window, which may be a tensor, and how many there are.
        seen: the sight of these queries on these keys.
    """

    keys: slice | None
    start: object = None
    width: int | None = None
    seen: Sight | None = None

    def of(self, x, axis):
        """What belongs to these keys, of an `x` that belongs to all keys along `axis`."""
        if self.keys is None:
            return window(x, self.start, self.width, axis)
        return x[(slice(None),) * axis + (self.keys,)]


def added(x, news):
    """`x` `(B, H, d, s)` of the keys of a turn, plus `news`, one for each of their parts."""
    return x + (news[0] if len(news) == 1 else ops.concatenate(news, axis=3))


@dataclasses.dataclass(frozen=True)
class Loop:
    """Some queries, `size` at a turn, and the keys that they may see.

    Attributes:
        queries, keys: slices of the sequences.
        seen: the sight of these queries on these keys.
        size: queries at a turn.
        starts: of each turn, which of the keys is its first; None if all turns see all of them.
        width: how many keys a turn sees, where `starts` is given.
    """

    queries: slice
    keys: slice
    seen: Sight
    size: int
    starts: tuple | None = None
    width: int | None = None

    @property
    def is_blind(self):
        """Whether its queries see nothing."""
        return self.width == 0 or (self.keys.stop is not None and self.keys.start >= self.keys.stop)

    def run(self, turn, queries):
        """The outputs `(B, H, T of this loop, .)` of all turns; for code that autodiff sees.

        Args:
            turn: a function `turn(part, *queries)` that returns a tensor `(B, H, t, .)`.
            queries: tensors `(B, H, T, .)` of all queries, or None, whose parts the turns get.
        """
        length, (found,) = self._each(lambda *parts: (turn(*parts),), queries)
        return _in_a_row(found, length)

    def _each(self, turn, queries):
        """How many queries there are, and the tensors that the turns return, of which a new first axis counts."""
        given = [x for x in queries if x is not None]
        length, count, size, cuts = self._cut(given)
        firsts = ops.arange(count, dtype="int32") * size
        starts = [] if self.starts is None else [ops.convert_to_tensor(self.starts, dtype="int32")]
        inputs = [firsts, *starts, *(_split(x, axis, count, size) for x, axis in cuts)]

        def step(inputs):
            first, *rest = inputs
            start = rest.pop(0) if starts else None
            seen = self._seen(first, rest[len(given) :], start)
            here = iter(rest)
            return turn(self._part(start, seen), *(None if x is None else next(here) for x in queries))

        if inputs[0].shape[0] == 1:
            return length, tuple(x[None] for x in step([x[0] for x in inputs]))
        return length, ops.map(step, inputs)

    def gather(self, turn, queries, carry, outputs):
        """What all turns come to, where each hands something on; for code that autodiff does not see.

        Args:
            turn: a function `turn(carry, parts, *queries)` that returns the next carry and its outputs
                `(B, H, t, .)`. The parts stand in order and are all keys of the loop, or a turn's window on them.
            queries: tensors `(B, H, T, .)` of all queries, whose parts the turns get.
            carry: a tuple of tensors `(B, H, d, S of this loop)`, what the first turn gets, of the keys it sees; what
                it adds there must not depend on what there is.
            outputs: width and dtype of each output.

        Returns:
            The last carry, and the outputs of all turns `(B, H, T of this loop, .)`.
        """
        if self.starts:
            return self._gather_from_windows(turn, queries, carry)
        length, count, size, cuts = self._cut(queries)
        cuts = [(_padded(x, axis, count * size), axis) for x, axis in cuts]

        def step(at, carry):
            here = [window(x, at * size, size, axis) for x, axis in cuts]
            seen = self._seen(at * size, here[len(queries) :])
            return turn(carry, self._parts(seen), *here[: len(queries)])

        if isinstance(count, int) and count == 1:
            carry, found = step(0, carry)
            return carry, tuple(x[:, :, :length] for x in found)

        carried = len(carry)

        def next_turn(at, state):
            carry, found = step(at, state[:carried])
            places = zip(state[carried:], found)
            return *carry, *(ops.slice_update(x, (0, 0, at * size, 0), new) for x, new in places)

        shape = (*ops.shape(queries[0])[:2], count * size)
        places = (ops.zeros((*shape, width), dtype=dtype) for width, dtype in outputs)
        state = one_after_the_other(next_turn, count, (*carry, *places))
        return state[:carried], tuple(x[:, :, :length] for x in state[carried:])

    def _gather_from_windows(self, turn, queries, carry):
        nothing = tuple(ops.zeros_like(x[..., : self.width]) for x in carry)

        def apart(part, *queries):
            news, found = turn(nothing, [part], *queries)
            return *news, *found

        length, found = self._each(apart, queries)
        news = (self._of_keys(x, like.shape[3]) for x, like in zip(found, carry))
        return tuple(map(ops.add, carry, news)), tuple(_in_a_row(x, length) for x in found[len(carry) :])

    def _of_keys(self, found, length):
        """`found` of all turns `(turns, B, H, d, width)`, summed up where their windows overlap: `(B, H, d, length)`.

        Each block of keys, as long as a turn, takes from each turn that reaches it; where a window ends within the
        block there are zeros behind it.
        """
        size, starts = self.size, np.array(self.starts)
        blocks = np.arange(0, length, size)
        reach = (starts < blocks[:, None] + size) & (starts + self.width > blocks[:, None])
        first = reach.argmax(axis=1)
        most = (len(starts) - reach[:, ::-1].argmax(axis=1) - first)[reach.any(axis=1)].max()
        first = np.minimum(first, len(starts) - most)
        turns = first[:, None] + np.arange(most)
        places = size + np.clip(blocks[:, None] - starts[turns], -size, self.width)
        found = ops.pad(found, ((0, 0),) * 4 + ((size, size),))
        shape = (1, *ops.shape(found)[1:4], size)

        def block(inputs):
            turns, places = inputs
            return sum(ops.slice(found, (turns[at], 0, 0, 0, places[at]), shape)[0] for at in range(most))

        collected = ops.map(block, tuple(ops.convert_to_tensor(x, dtype="int32") for x in (turns, places)))
        # (blocks, B, H, d, size) -> (B, H, d, S)
        collected = ops.transpose(collected, (1, 2, 3, 0, 4))
        return ops.reshape(collected, (*shape[1:4], len(blocks) * size))[..., :length]

    def _cut(self, queries):
        """How many queries, how many turns, how many queries each, and what belongs to queries, with its axis."""
        queries = [x[:, :, self.queries] for x in queries]
        length = queries[0].shape[2] or ops.shape(queries[0])[2]
        # Of a sequence whose length is not known before it comes, both may be tensors.
        size = min(self.size, length) if isinstance(length, int) else self.size
        count = (length + size - 1) // size
        return length, count, size, [(x, 2) for x in queries] + self.seen.of_queries()

    def _seen(self, first, of_queries, start=None):
        """The sight of the queries from `first` on, of the keys from `start` on."""
        seen = self.seen.with_queries(of_queries, self.seen.first_query + first)
        return seen if start is None else seen.window(start, self.width)

    def _part(self, start, seen):
        return Part(self.keys, seen=seen) if start is None else Part(None, start, self.width, seen)

    def _parts(self, seen):
        """The keys that all of the queries may see as far as causality is concerned, and the others."""
        every = self._open_keys()
        if not every:
            return [self._part(None, seen)]
        middle = self.keys.start + every
        behind, ahead = (seen.block(slice(0, None), keys) for keys in (slice(0, every), slice(every, None)))
        behind = dataclasses.replace(behind, causal=False)
        slices = slice(self.keys.start, middle), slice(middle, self.keys.stop)
        return [Part(keys, seen=seen) for keys, seen in zip(slices, (behind, ahead))]

    def _open_keys(self):
        """How many keys stand before all of the queries, where there is no pattern."""
        if not self.seen.causal or self.seen.first_row is None or self.seen.pattern.spec:
            return 0
        count = self.seen.first_row - self.keys.start
        return count if self.size <= count < self.keys.stop - self.keys.start else 0


def loops(length, size, seen):
    """The loops over `length` queries, `size` at a turn; a length of None is not known."""
    if length is None or seen.first_row is None or not (seen.causal or seen.pattern.spec):
        whole = slice(0, length)
        keys = slice(0, seen.cols.shape[0])
        return [Loop(whole, keys, seen.block(whole, keys), size)]
    return _narrow(length, size, seen) or [
        _reaching(first, min(first + step, length), size, seen)
        for step in [size * math.ceil(length / size / CAUSAL_LOOPS)]
        for first in range(0, length, step)
    ]


def _narrow(length, size, seen):
    """One loop in which each turn has a window of its own on the keys, where that is much less than all of them."""
    keys = seen.cols.shape[0]
    if seen.pattern.spec is None or keys is None or length <= size:
        return None
    reaches = [seen.reach(first, min(first + size, length)) for first in range(0, length, size)]
    width = max(high - low for low, high in reaches)
    if 2 * width > keys:
        return None
    queries, all_keys = slice(0, length), slice(0, keys)
    starts = tuple(min(low, keys - width) for low, _ in reaches)
    return [Loop(queries, all_keys, seen.block(queries, all_keys), size, starts, width)]


def _reaching(first, last, size, seen):
    queries, keys = slice(first, last), slice(*seen.reach(first, last))
    return Loop(queries, keys, seen.block(queries, keys), size)


def over_heads(function, tensors, places):
    """`function` of one head of the keys and the heads of the queries that share it, one after the other.

    With one head at a time a turn has more queries in the same room, and so do the products of matrices. For code that
    is not differentiated.

    Args:
        function: takes and returns tensors `(B, h, ., .)`, as a tuple.
        tensors: `(B, H or G, ., .)`, G the number of heads of the keys, the last of them with G heads.
        places: tensors like what comes out for all heads, to be filled.
    """
    groups = tensors[-1].shape[1]
    if groups == 1:
        return function(*tensors)

    def step(at, places):
        shares = [x.shape[1] // groups for x in tensors]
        found = function(*(window(x, at * share, share, 1) for x, share in zip(tensors, shares)))
        return tuple(ops.slice_update(x, (0, at * new.shape[1], 0, 0), new) for x, new in zip(places, found))

    return one_after_the_other(step, groups, tuple(places))


def one_after_the_other(step, count, state):
    """`state = step(at, state)` for `at` from 0 to `count` - 1; the state is a tuple of floating-point tensors.

    Each turn waits for the one before, and so no two of them need room at the same time: without jit, tensorflow starts
    turns early where it can.
    """

    def next_turn(at, *state):
        state = step(at, state)
        return at + 1 + _nought(state[0]), *state

    return ops.while_loop(lambda at, *_: at < count, next_turn, (ops.convert_to_tensor(0, dtype="int32"), *state))[1:]


def _nought(x):
    """Zero, known as soon as `x` is."""
    return ops.cast(x[(0,) * len(x.shape)] > float("inf"), "int32")


def _in_a_row(found, length):
    """`(turns, B, H, size, d)` to `(B, H, length, d)`."""
    turns, batch, heads, size, width = ops.shape(found)
    return ops.reshape(ops.transpose(found, (1, 2, 0, 3, 4)), (batch, heads, turns * size, width))[:, :, :length]


def _split(x, axis, count, size):
    """`x` in pieces of `size` along `axis`, zeros behind the end: a new first axis counts the pieces."""
    shape = ops.shape(x)
    x = ops.reshape(_padded(x, axis, count * size), (*shape[:axis], count, size, *shape[axis + 1 :]))
    return ops.moveaxis(x, axis, 0)


def _padded(x, axis, length):
    """`x` with zeros behind its end along `axis`."""
    more = length - ops.shape(x)[axis]
    if isinstance(more, int) and more == 0:
        return x
    ends = [(0, 0)] * len(x.shape)
    ends[axis] = (0, more)
    is_bool = keras.backend.standardize_dtype(x.dtype) == "bool"
    return ops.cast(ops.pad(ops.cast(x, "int32"), ends), "bool") if is_bool else ops.pad(x, ends)
