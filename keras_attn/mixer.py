"""The contract every mechanism keeps: `tests/keras_attn/test_contract.py` has it clause by clause."""

import keras
from keras import ops

from keras_attn import masks, normalizers


class Mixer(keras.layers.Layer):
    """A layer that moves information between positions: `(B, T, D) -> (B, T, D)`.

    What stands at padded positions never reaches a real one, and padded positions of the output are zero.

    Attributes:
        kind: `"explicit"` if the layer computes weights over positions that can be shown, `"implicit"` if not.
        control: whether it is a yardstick that any real mechanism must beat.
        can_be_causal: whether `use_causal_mask=True` is possible.
        fixed_length: whether it works for the length it was built with only.
        can_step: whether it has `initial_state(batch_size)` and `step(inputs, state)`.
    """

    kind = None
    control = False
    can_be_causal = True
    fixed_length = False
    can_step = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _check_causal(self, use_causal_mask):
        if use_causal_mask and not self.can_be_causal:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} looks both ways and cannot be causal. "
                "Received: use_causal_mask=True."
            )


class Implicit(Mixer):
    """A mixer without weights over positions. A concrete layer says how it mixes, in `compute_mix`.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions; Keras fills it in from the inputs.
        use_causal_mask: whether position t may depend on positions up to t only.
        training: whether dropout acts.

    Returns:
        `(B, T, D)`, zero at padded positions.
    """

    kind = "implicit"

    def call(self, inputs, mask=None, use_causal_mask=False, training=None):
        self._check_causal(use_causal_mask)
        mask = None if mask is None else ops.cast(mask, "bool")
        return masks.zero(self.compute_mix(masks.zero(inputs, mask), mask, use_causal_mask, training), mask)

    def compute_mix(self, inputs, mask, causal, training):
        """The mix `(B, T, D)` of inputs that are zero where the mask (or None) is False."""
        raise NotImplementedError(f"{type(self).__name__} must say how it mixes: define `compute_mix`.")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class Explicit(Mixer):
    """A mixer that computes weights over positions. It is called like Keras's own attention layers.

    A concrete layer defines `compute_scores(query, key)`, or all of `compute_weights`; and `compute_mix` if the mix is
    more than weights times values.

    Args:
        normalizer: how scores become weights, a name from `keras_attn.normalizers`.
        dropout: share of the weights dropped in training, in [0, 1).
        seed: an integer that makes the dropout repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None means self-attention (`value = query`).
        key: `(B, S, Dk)`; None means `key = value`.
        query_mask: boolean `(B, T)`; the output is zero where it is False.
        value_mask: boolean `(B, S)`; False is never looked at. In self-attention it is the query's mask.
        key_mask: boolean `(B, S)`; False is never looked at.
        attention_mask: boolean `(T, S)`, `(B, T, S)` or `(B, H, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions. The last query stands at the last key.
        return_attention_scores: whether to return the weights too.
        training: whether dropout acts.
        mask: the query's mask, or a list of masks if the inputs are a list; Keras fills it in from the inputs.

    Returns:
        The mix `(B, T, Dv)`, and if asked for the weights `(B, H, T, S)` as they were before dropout. A row with
        nothing to look at has zero weights and a zero mix.
    """

    kind = "explicit"
    #: Weights stand over this many learned rows first, then over the S positions.
    extra_keys = 0
    #: Keras's own layer of the same name returns weights without the axis of heads.
    squeeze_heads = False

    def __init__(self, normalizer="softmax", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.normalizer = normalizer
        self.dropout = dropout
        self.seed = seed
        self._normalize = normalizers.get(normalizer)
        if not isinstance(dropout, (int, float)) or not 0.0 <= dropout < 1.0:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout!r}")
        self._drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy) if dropout else None

    def compute_scores(self, query, key):
        """Scores `(B, H, T, S)`, larger for a better match."""
        raise NotImplementedError(f"{type(self).__name__} must say how it scores: define `compute_scores`.")

    def compute_weights(self, query, key, value, mask):
        """Weights `(B, H, T, S)`; `mask` is None or boolean and broadcasts to them."""
        return self._normalize(self.compute_scores(query, key), mask)

    def compute_mix(self, weights, value, query):
        """What the weights make of the values: `(B, T, Dv)`."""
        return ops.matmul(weights[:, 0], value)

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
    ):
        self._check_causal(use_causal_mask)
        given = (query_mask, value_mask, key_mask)
        query_mask, source_mask = self._sort_masks(query, value, mask, *given)
        query, value, key = self._sort_tensors(query, value, key)
        who = (query_mask, source_mask, attention_mask, use_causal_mask)
        mix, weights = self._attend(query, value, key, *who, training)
        if return_attention_scores:
            return mix, weights[:, 0] if self.squeeze_heads else weights
        return mix

    def _attend(self, query, value, key, query_mask, source_mask, attention_mask, use_causal_mask, training):
        """The mix and the weights before dropout."""
        allowed = self._allowed(query, key, source_mask, attention_mask, use_causal_mask)
        query, value, key = _zero_padding(query, value, key, query_mask, source_mask)
        weights = self.compute_weights(query, key, value, allowed)
        used = weights if self._drop is None else self._drop(weights, training=training)
        return masks.zero(self.compute_mix(used, value, query), query_mask), weights

    def _allowed(self, query, key, source_mask, attention_mask, use_causal_mask):
        """Who may look at whom: None or a boolean mask that broadcasts to the weights."""
        lengths = ops.shape(query)[1], ops.shape(key)[1]
        return masks.combine(
            None if source_mask is None else masks.padding(source_mask),
            masks.causal(*lengths) if use_causal_mask else None,
            None if attention_mask is None else masks.given(attention_mask),
        )

    def _sort_tensors(self, query, value, key):
        """Query, value and key from Keras's three ways of giving them."""
        if isinstance(query, (list, tuple)):
            self._check_list("inputs list", query, "[query, value] or [query, value, key]")
            query, value, key = (*query, None)[:3]
        value = query if value is None else value
        return query, value, value if key is None else key

    def _sort_masks(self, query, value, mask, query_mask, value_mask, key_mask):
        """The query's mask `(B, T)` and that of what it looks at `(B, S)`, each boolean or None."""
        if isinstance(query, (list, tuple)):
            if isinstance(query_mask, (list, tuple)):
                # Keras's own filling-in, where there are other tensors beside the list.
                mask, query_mask = query_mask if mask is None else mask, None
            listed = self._sort_mask_list(mask)
            by_hand = (query_mask, value_mask, key_mask)
            query_mask, value_mask, key_mask = map(masks.combine, listed, by_hand)
        elif query_mask is None:
            query_mask = mask
        if value is None and value_mask is None and not isinstance(query, (list, tuple)):
            value_mask = query_mask
        query_mask, value_mask, key_mask = (
            None if m is None else ops.cast(m, "bool") for m in (query_mask, value_mask, key_mask)
        )
        return query_mask, masks.combine(value_mask, key_mask)

    def _sort_mask_list(self, mask):
        if mask is None:
            return None, None, None
        if not isinstance(mask, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} was called on a list of inputs, so that the layer mask must be a list too: "
                f"[query_mask, value_mask]. Received: mask={mask}"
            )
        self._check_list("mask list", mask, "[query_mask, value_mask] or [query_mask, value_mask, key_mask]")
        return (*mask, None)[:3]

    def _check_list(self, what, items, right):
        if len(items) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__} accepts an {what} of length 2 or 3, {right}. Received length: {len(items)}"
            )

    def build(self, query_shape, value_shape=None, key_shape=None):
        self.build_weights(*self._sort_shapes(query_shape, value_shape, key_shape))
        self.built = True

    def build_weights(self, query_shape, value_shape, key_shape):
        """Makes the layer's weights, if it has any."""

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        query_shape, value_shape, _ = self._sort_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], value_shape[-1])

    def compute_weights_shape(self, query_shape, key_shape):
        """The shape of `compute_weights` for queries `(B, T, D)` and keys `(B, S, Dk)`."""
        sources = None if key_shape[1] is None else self.extra_keys + key_shape[1]
        return (query_shape[0], 1, query_shape[1], sources)

    def compute_output_spec(self, query, value=None, key=None, return_attention_scores=False, **kwargs):
        query, value, key = self._sort_tensors(query, value, key)
        shapes = tuple(query.shape), tuple(value.shape), tuple(key.shape)
        mix = keras.KerasTensor(self.compute_output_shape(*shapes), dtype=self.compute_dtype)
        if not return_attention_scores:
            return mix
        shape = self.compute_weights_shape(shapes[0], shapes[2])
        shape = (shape[0], *shape[2:]) if self.squeeze_heads else shape
        return mix, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_mask(self, query, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        return None if mask is None else ops.convert_to_tensor(mask)

    def get_config(self):
        options = {"normalizer": self.normalizer, "dropout": self.dropout, "seed": self.seed}
        return {**super().get_config(), **options}

    @staticmethod
    def _sort_shapes(query_shape, value_shape, key_shape):
        if isinstance(query_shape[0], (list, tuple)):
            query_shape, value_shape, key_shape = (*query_shape, None)[:3]
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All axes of `value` and `key` but the first and the last must be equal. "
                f"Received: value_shape={value_shape}, key_shape={key_shape}"
            )
        return tuple(query_shape), tuple(value_shape), tuple(key_shape)


def _zero_padding(query, value, key, query_mask, source_mask):
    """Zeros at padded positions, before any product: zero times NaN is NaN, in the backward pass too."""
    zeroed_value = masks.zero(value, source_mask)
    zeroed_key = zeroed_value if key is value else masks.zero(key, source_mask)
    return masks.zero(query, query_mask), zeroed_value, zeroed_key
