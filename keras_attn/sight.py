"""Who may look at whom, without the (T, S) array: any block of it on request."""

import dataclasses

from keras import ops

from keras_attn import masks, patterns

EVERYWHERE = patterns.get(None)


@dataclasses.dataclass(frozen=True)
class Sight:
    """All that forbids a look: padding, causality, a pattern of positions, segments, and a mask of the caller's.

    Attributes:
        rows: positions `(T,)` of the queries, int32.
        cols: positions `(S,)` of the keys, int32.
        first_row: the first query's position where it is known before the values and the others follow it; else None.
        source_mask: `(B, S)`, False is never looked at, or None.
        causal: whether later positions are forbidden.
        pattern: a `keras_attn.patterns.Pattern`.
        segments: two tensors, whole numbers `(B, T)` and `(B, S)`: only equal ones may look at each other; or None.
        given: boolean, broadcasts to `(B, H, T, S)`, or None.
        first_query, first_key: which of all queries and keys the first ones here are; or for each one here, how far it
            stands behind where it would stand if the first were the first of all.
    """

    rows: object
    cols: object
    first_row: int | None = None
    source_mask: object = None
    causal: bool = False
    pattern: patterns.Pattern = EVERYWHERE
    segments: tuple | None = None
    given: object = None
    first_query: object = 0
    first_key: object = 0

    @property
    def is_open(self):
        """Whether nothing is forbidden but, maybe, later positions."""
        return self.source_mask is None and self.pattern.spec is None and self.segments is None and self.given is None

    def mask(self):
        """Boolean and broadcasting to `(B, H, T, S)`, or None if all is allowed."""
        rows, cols = self.rows, self.cols
        return masks.combine(
            None if self.source_mask is None else masks.padding(self.source_mask),
            rows[None, None, :, None] >= cols[None, None, None, :] if self.causal else None,
            None if self.pattern.spec is None else self.pattern.allowed(rows, cols)[None, None],
            None if self.segments is None else patterns.segments(*self.segments),
            self.given,
        )

    def block(self, queries, keys):
        """The sight of some queries on some keys, two slices of Python's integers."""
        segments = self.segments and (self.segments[0][:, queries], self.segments[1][:, keys])
        return dataclasses.replace(
            self,
            rows=self.rows[queries],
            cols=self.cols[keys],
            first_row=None if self.first_row is None else self.first_row + queries.start,
            source_mask=None if self.source_mask is None else self.source_mask[:, keys],
            segments=segments,
            given=cut(self.given, queries, keys),
            first_query=self.first_query + queries.start,
            first_key=self.first_key + keys.start,
        )

    def of_queries(self):
        """What belongs to single queries, as a list of tensors, each with its axis of queries; see `with_queries`."""
        parts = [(self.rows, 0)]
        if self.segments is not None:
            parts.append((self.segments[0], 1))
        if self.given is not None and self.given.shape[2] != 1:
            parts.append((self.given, 2))
        return parts

    def with_queries(self, parts, first_query=None):
        """The sight of other queries, of which `parts` has the tensors in the order of `of_queries`."""
        rows, *parts = parts
        segments = None if self.segments is None else (parts.pop(0), self.segments[1])
        first_query = self.first_query if first_query is None else first_query
        return dataclasses.replace(
            self,
            rows=rows,
            first_row=None,
            segments=segments,
            given=parts[0] if parts else self.given,
            first_query=first_query,
        )

    def window(self, start, width):
        """The sight on `width` keys from an index `start` that may be a tensor."""

        def part(x, axis):
            return x if x is None or x.shape[axis] == 1 else window(x, start, width, axis)

        return dataclasses.replace(
            self,
            cols=part(self.cols, 0),
            source_mask=part(self.source_mask, 1),
            segments=None if self.segments is None else (self.segments[0], part(self.segments[1], 1)),
            given=part(self.given, 3),
            first_key=self.first_key + start,
        )

    def take(self, queries):
        """The sight of chosen queries, given by their indices."""
        index = ops.convert_to_tensor(queries, dtype="int32")
        index = ops.where(index < 0, index + ops.shape(self.rows)[0], index)
        # Random numbers belong to places, so that chosen queries have the same as among all.
        behind = self.first_query + index - ops.arange(len(queries), dtype="int32")
        return self.with_queries([ops.take(x, index, axis=axis) for x, axis in self.of_queries()], behind)

    def reach(self, first, last):
        """The range `(low, high)` of keys, in Python's integers, beyond which the queries first..last-1 see nothing."""
        length = self.cols.shape[0]
        if self.first_row is None or length is None:
            return 0, length
        low, high = self.pattern.reach(self.first_row + first, self.first_row + last - 1, length)
        return low, max(low, min(high, self.first_row + last)) if self.causal else high


def of_lengths(queries, keys, **options):
    """The sight of `queries` positions on `keys`, where the last query stands at the last key."""
    known = isinstance(queries, int) and isinstance(keys, int)
    rows = ops.arange(queries, dtype="int32") + (keys - queries)
    return Sight(rows, ops.arange(keys, dtype="int32"), keys - queries if known else None, **options)


def cut(x, queries, keys):
    """The block of a mask or a bias `(b, h, T or 1, S or 1)` for these queries and keys, two slices; None of None."""
    if x is None:
        return None
    x = x if x.shape[2] == 1 else x[:, :, queries]
    return x if x.shape[3] == 1 else x[:, :, :, keys]


def window(x, start, width, axis):
    """`width` entries of `x` along `axis`, from an index `start` that may be a tensor."""
    starts = [start if at == axis else 0 for at in range(len(x.shape))]
    return ops.slice(x, starts, [width if at == axis else size for at, size in enumerate(ops.shape(x))])
