"""Explicit attention in which each pair of positions has a score of its own."""

import keras
from keras import ops

from keras_attn import attend, flash, masks, noise, normalizers, patterns, sight
from keras_attn.lookup import plain, whole_number
from keras_attn.mixer import Asked, Explicit, zero_padding


class Pairwise(Explicit):
    """A mixer that scores each pair of positions, turns each query's scores into weights, and mixes the values by them.

    A concrete layer defines `compute_scores(query, key, parameters)`, and what it projects: `project_query`,
    `project_key`, `project_value`, `merge`. It gets every normalizer, the path by chunks, and decoding with a cache.

    Args:
        normalizer: how scores become weights, a name or a spec from `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.
        chunk_size: queries at a time, at least 1; None for all at once; "auto" for all at once where that is small, or
            where the length is not known beforehand. The numbers are the same, the memory is not.

    Call arguments, beside those of `Explicit`:
        attention_bias: what to add to the scores, `(T, S)`, `(B, T, S)` or `(B, H, T, S)`; finite, for masks say what
            must not be seen.
        segment_ids: whole numbers `(B, T)`, or two such tensors for queries and keys: positions of different numbers
            do not look at each other, as for several texts packed into one row; numbers below 0 look at nothing.
        return_attention_scores: True for the weights too; a list of positions for those of these queries alone.
    """

    #: Numbers that a pair of positions needs while its score is computed.
    pair_cost = 1
    can_step = True

    def __init__(self, normalizer="softmax", dropout=0.0, seed=None, chunk_size="auto", **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.normalizer = normalizer
        self._normalizer = normalizers.get(normalizer)
        if isinstance(chunk_size, str) and chunk_size != "auto":
            raise ValueError(
                f'`chunk_size` must be "auto", None or a whole number. Received: chunk_size={chunk_size!r}'
            )
        self.chunk_size = chunk_size if chunk_size == "auto" else whole_number("chunk_size", chunk_size, optional=True)
        if self._normalizer.uses_noise and self._seeds is None:
            self._seeds = keras.random.SeedGenerator(seed)

    @property
    def heads(self):
        """Number of heads."""
        return 1

    @property
    def pattern(self):
        """Who may look at whom by position alone."""
        return patterns.Pattern()

    @property
    def weights_are(self):
        return "distribution" if self._normalizer.sums_to_one else "nonnegative"

    def compute_scores(self, query, key, parameters):
        """Scores `(B, H, t, s)` of a block, larger for a better match."""
        raise NotImplementedError(f"{type(self).__name__} must say how it scores: define `compute_scores`.")

    def compute_chunk_scores(self, query, key, parameters):
        """The same scores where a chunk is at hand; a layer may have a way to them that only costs less there."""
        return self.compute_scores(query, key, parameters)

    def as_dot_product(self, query, key, parameters):
        """Vectors `(B, H, t, d)` and `(B, H or a divisor, s, d)` of whose dot products the scores are made; or None.

        Where there are such, and nothing else makes the scores but `score_falls`, quicker ways to the softmax's mix may
        serve.
        """

    @property
    def score_falls(self):
        """For each head, by how much a score falls for each position of distance, where that is its bias; else None."""

    def position_bias(self, rows, cols, parameters):
        """What the positions `(t,)` and `(s,)` add to the scores, `(H, t, s)`, or None."""
        return None  # Said in words: TensorFlow cannot convert a function that is nothing but its docstring.

    def project_query(self, query, rows):
        """`(B, T, D)` at positions `rows` to `(B, H, T, d)`."""
        return ops.expand_dims(query, 1)

    def project_key(self, key, cols):
        """`(B, S, D)` at positions `cols` to `(B, H or a divisor, S, d)`."""
        return ops.expand_dims(key, 1)

    def project_value(self, value):
        """`(B, S, D)` to `(B, H or a divisor, S, d)`."""
        return ops.expand_dims(value, 1)

    def merge(self, mix, query):
        """The heads' mixes `(B, H, T, d)` to the output `(B, T, D)`."""
        return mix[:, 0]

    def adjust_scores(self, scores, parameters):
        """A last change to the scores `(B, H, t, s)`, biases included."""
        return scores

    def adjust_weights(self, weights, parameters):
        """A last change to the weights `(B, H, t, s)`."""
        return weights

    def score_parameters(self):
        """What the scores depend on beside queries and keys: learned tensors by name."""
        return {name: ops.convert_to_tensor(weight) for name, weight in self._normalizer_weights.items()}

    def build(self, query_shape, value_shape=None, key_shape=None):
        self._normalizer_weights = {
            name: self.add_weight(name=name, shape=(self.heads,), initializer=initializer)
            for name, initializer in self._normalizer.learned
        }
        super().build(query_shape, value_shape, key_shape)
        self._source_widths = tuple(shape[-1] for shape in self._sort_shapes(query_shape, value_shape, key_shape)[1:])

    def call(
        self,
        query,
        value=None,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
        mask=None,
        attention_bias=None,
        segment_ids=None,
    ):
        asked = self._asked(
            attention_mask=attention_mask,
            causal=use_causal_mask,
            weights=return_attention_scores,
            training=training,
            attention_bias=attention_bias,
            segment_ids=segment_ids,
        )
        return self._call((query, value, key), (query_mask, value_mask, key_mask), mask, asked)

    def _attend(self, query, value, key, query_mask, source_mask, asked):
        query, value, key = zero_padding(query, value, key, query_mask, source_mask)
        seen = self._sight(query, key, source_mask, asked)
        projected = (
            self.project_query(query, seen.rows),
            self.project_key(key, seen.cols),
            self.project_value(value),
        )
        bias = None if asked.attention_bias is None else masks.four_axes("attention_bias", asked.attention_bias)
        if (
            bias is not None
            and query_mask is not None
            and bias.shape[2] != 1
            and bias.shape[0] in (query.shape[0], None)
        ):
            # What stands at padded queries reaches nobody, not even as NaN in a gradient.
            bias = ops.where(query_mask[:, None, :, None], bias, ops.zeros_like(bias))
        mix, weights = self._look(*projected, bias, seen, asked)
        return masks.zero(self.merge(mix, query), query_mask), weights

    def _sight(self, query, key, source_mask, asked):
        return sight.of_lengths(
            *(x.shape[1] or ops.shape(x)[1] for x in (query, key)),
            source_mask=source_mask,
            causal=asked.causal,
            pattern=self.pattern,
            segments=_segments(asked.segment_ids),
            given=None if asked.attention_mask is None else masks.given(asked.attention_mask),
        )

    def _look(self, query, key, value, bias, seen, asked):
        """The mix `(B, H, T, d)`, by whichever path serves, and the weights that were asked for."""
        parameters = self.score_parameters()
        seed = self._next_seed(asked) if asked.training and self._seeds is not None else None
        tensors = (query, key, value, bias, parameters, seen)
        if asked.weights is True:
            return self._pairs(seed)(*tensors)
        weights = self._weights_of(asked.weights, seed, *tensors) if asked.weights else None
        vectors = self._softmax_of_dots(query, key, bias, parameters, seen)
        extras = flash.Extras(self.score_falls, self.dropout, seed)
        if vectors and extras.are_none and self._can_fuse(query, key, seen):
            padding = None if seen.source_mask is None else masks.padding(seen.source_mask)
            return attend.fused(*vectors, value, seen.causal, padding), weights
        shape = (ops.shape(query)[0], self.heads, ops.shape(query)[2], ops.shape(key)[2])
        if vectors:
            room = flash.ROOM // 2 if seen.pattern.spec else flash.ROOM
            size = attend.chunk_size(self.chunk_size, shape, 1, self.heads // key.shape[1], room)
        else:
            size = attend.chunk_size(self.chunk_size, shape, self.pair_cost)
        if size is None:
            return self._pairs(seed)(*tensors)[0], weights
        if vectors:
            return flash.attend(*vectors, value, seen, size, extras), weights
        return attend.by_chunks(self._pairs(seed, self.compute_chunk_scores), *tensors, size), weights

    def _softmax_of_dots(self, query, key, bias, parameters, seen):
        """Vectors of whose dot products the weights are the softmax, with the same mask for all heads; or None."""
        is_softmax = self._normalizer.function is normalizers.softmax
        if not is_softmax or bias is not None or (seen.given is not None and seen.given.shape[1] != 1):
            return None
        return self.as_dot_product(query, key, parameters)

    def _pairs(self, seed, compute_scores=None):
        """What is done to a block of queries and keys: the mix, and the weights before dropout."""
        compute_scores = compute_scores or self.compute_scores

        def look(query, key, value, bias, parameters, seen):
            scores = compute_scores(query, key, parameters)
            for more in (self.position_bias(seen.rows, seen.cols, parameters), bias):
                scores = scores if more is None else scores + ops.cast(more, scores.dtype)
            scores = self.adjust_scores(scores, parameters)
            learned = tuple(parameters[name] for name, _ in self._normalizer.learned)
            place = (seen.first_query, seen.first_key)
            drawing = seed is not None and self._normalizer.uses_noise
            draw = noise.uniform(seed, ops.shape(scores), *place, stream=1) if drawing else None
            weights = self._normalizer(scores, seen.mask(), learned, draw)
            weights = self.adjust_weights(weights, parameters)
            dropping = seed is not None and self.dropout
            used = noise.dropout(weights, self.dropout, seed, *place) if dropping else weights
            return attend.grouped_matmul(used, value), weights

        return look

    def _weights_of(self, queries, seed, query, key, value, bias, parameters, seen):
        """The weights of chosen queries, without those of the others."""
        if bias is not None and bias.shape[2] != 1:
            bias = ops.take(bias, ops.convert_to_tensor(queries, dtype="int32"), axis=2)
        query = ops.take(query, ops.convert_to_tensor(queries, dtype="int32"), axis=2)
        return self._pairs(seed)(query, key, value, bias, parameters, seen.take(queries))[1]

    def _can_fuse(self, query, key, seen):
        """Whether the backend has a kernel of its own that computes exactly this."""
        if self.chunk_size != "auto" or keras.config.backend() != "torch":
            return False
        if seen.causal:
            # The kernel puts the first query at the first key.
            return seen.is_open and seen.first_row == 0
        only_padding = seen.pattern.spec is None and seen.segments is None and seen.given is None
        # In half precision the kernel's number for "masked" is not far enough below large scores.
        return only_padding and (seen.is_open or self.compute_dtype == "float32")

    def initial_state(self, batch_size, max_length=None):
        """A cache for `max_length` positions, all of it empty.

        Args:
            batch_size: B.
            max_length: L, how many positions will ever be seen.

        Returns:
            A dictionary: `keys` and `values` `(B, H or a divisor, L, d)`, `real` `(B, L)`, `position` `()`.
        """
        whole_number("max_length", max_length)
        shapes = self._cache_shapes(batch_size, max_length)
        return {
            "keys": ops.zeros(shapes[0], dtype=self.compute_dtype),
            "values": ops.zeros(shapes[1], dtype=self.compute_dtype),
            "real": ops.zeros((batch_size, max_length), dtype="bool"),
            "position": ops.zeros((), dtype="int32"),
        }

    def _cache_shapes(self, batch_size, length):
        value, key = (ops.zeros((1, 1, width), dtype=self.compute_dtype) for width in self._source_widths)
        projected = self.project_key(key, ops.zeros((1,), dtype="int32")), self.project_value(value)
        return [(batch_size, x.shape[1], length, x.shape[3]) for x in projected]

    def step(self, inputs, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position: causal self-attention."""
        output, state = self.prefill(ops.expand_dims(inputs, 1), state)
        return output[:, 0], state

    def prefill(self, inputs, state, mask=None):
        """Outputs `(B, n, D)` and next state for inputs `(B, n, D)` at the next n positions.

        With a `mask` `(B, n)` positions where it is False are never looked at, now or later, and their output is zero.
        """
        batch, count = ops.shape(inputs)[:2]
        inputs = masks.zero(ops.cast(inputs, self.compute_dtype), mask)
        position = state["position"]
        place = self._check_room(position, count, state["real"].shape[1])
        rows = position + ops.arange(count, dtype="int32")
        real = ops.ones((batch, count), dtype="bool") if mask is None else ops.cast(mask, "bool")
        state = {
            "keys": ops.slice_update(state["keys"], (0, 0, place, 0), self.project_key(inputs, rows)),
            "values": ops.slice_update(state["values"], (0, 0, place, 0), self.project_value(inputs)),
            "real": ops.slice_update(state["real"], (0, place), real),
            "position": position + count,
        }
        cols = ops.arange(state["keys"].shape[2], dtype="int32")
        # One query has no later key beside it but those not written: no mask of pairs, so that a kernel may serve.
        alone = inputs.shape[1] == 1
        source_mask = ops.logical_and(state["real"], cols <= rows) if alone else state["real"]
        seen = sight.Sight(rows, cols, source_mask=source_mask, causal=not alone, pattern=self.pattern)
        mix, _ = self._look(self.project_query(inputs, rows), state["keys"], state["values"], None, seen, Asked())
        return masks.zero(ops.cast(self.merge(mix, inputs), inputs.dtype), mask), state

    def prepare_memory(self, memory, memory_mask=None):
        memory = masks.zero(ops.cast(memory, self.compute_dtype), memory_mask)
        cols = ops.arange(ops.shape(memory)[1], dtype="int32")
        prepared = {"keys": self.project_key(memory, cols), "values": self.project_value(memory)}
        return prepared if memory_mask is None else {**prepared, "mask": ops.cast(memory_mask, "bool")}

    def attend_step(self, query, prepared, state, seed=None):
        query = ops.cast(query, self.compute_dtype)[:, None]
        asked = Asked(weights=True, training=seed is not None, seed=seed)
        keys, values = prepared["keys"], prepared["values"]
        seen = sight.of_lengths(1, ops.shape(keys)[2], source_mask=prepared.get("mask"), pattern=self.pattern)
        mix, weights = self._look(self.project_query(query, seen.rows), keys, values, None, seen, asked)
        return self.merge(mix, query)[:, 0], weights[:, :, 0], state

    def compute_mix(self, weights, value, query):
        """What weights `(B, H, T, S)` make of the values: `(B, T, D)`."""
        return self.merge(attend.grouped_matmul(weights, self.project_value(value)), query)

    def get_config(self):
        return {**super().get_config(), "normalizer": plain(self.normalizer), "chunk_size": self.chunk_size}


def _segments(segment_ids):
    """One tensor for queries and keys alike, or two, as two."""
    if segment_ids is None:
        return None
    return tuple(segment_ids) if isinstance(segment_ids, (list, tuple)) else (segment_ids, segment_ids)
