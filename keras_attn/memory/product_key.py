import keras
from keras import ops

from keras_attn import masks, normalizers
from keras_attn.lookup import choose, number, whole_number
from keras_attn.memory import _heads
from keras_attn.memory._lookup import Lookup
from keras_attn.mixer import once_built

NORMS = ("layer", "batch")


def best_pairs(first, second, k):
    """The `k` largest of all n² sums of one score of the first half and one of the second, best first.

    A sum among the k best has both of its halves among their own k best: the others are not formed.

    Args:
        first, second: scores `(..., n)` of the two halves.
        k: how many, at most n.

    Returns:
        The sums `(..., k)`, and the indices of their halves, `(..., k)` int32 both.
    """
    (first, i), (second, j) = ops.top_k(first, k), ops.top_k(second, k)
    sums = ops.expand_dims(first, -1) + ops.expand_dims(second, -2)
    best, pair = ops.top_k(ops.reshape(sums, (*ops.shape(sums)[:-2], k * k)), k)
    pair = ops.cast(pair, "int32")
    i, j = (ops.cast(x, "int32") for x in (i, j))
    return best, ops.take_along_axis(i, pair // k, axis=-1), ops.take_along_axis(j, pair % k, axis=-1)


def usage(totals):
    """The share of slots that were read at all, in [0, 1], of the weights `(N,)` that each has got in sum."""
    return ops.mean(ops.cast(totals > 0.0, "float32"))


def kl_to_uniform(totals):
    """The divergence log N + Σ_i z_i log z_i of shares z = totals / Σ totals, in nats; 0 if all are read alike."""
    z = ops.cast(totals, "float32") / ops.maximum(ops.sum(totals), 1e-30)
    return ops.log(float(totals.shape[0])) + ops.sum(z * ops.log(ops.maximum(z, 1e-30)))


@keras.saving.register_keras_serializable(package="keras_attn")
class ProductKeyMemory(Lookup):
    """A large memory of learned values, of which each head reads the k whose keys match best.

    The N = n² keys are all pairs of n first halves and n second halves. A query's score for key (i, j) is
    `q_1 · c_i + q_2 · c'_j`, so that the k best are found exactly among n + n + k² sums. The output is
    `Σ_heads Σ_{best k} softmax(score) V_ij`: the heads have queries and half keys of their own, and share the values.

    What is not read costs nothing. Positions do not see each other: it stands where a feed-forward block stands, and
    holds many more weights at the same compute. Slots that are never read never learn: `totals`, with `usage` and
    `kl_to_uniform` of this module, shows how many there are.

    Args:
        half_keys: number of half keys n of each side, at least 1; the memory has n² slots.
        num_heads: number of heads, at least 1.
        k: slots that a head reads, at least 1 and at most `half_keys`.
        key_dim: width of a query, at least 2 and even.
        query_norm: "layer" (each query by itself), "batch" (the paper's, spreads the queries over the keys; in training
            positions then depend on each other), or None.
        value_rate: how much faster the values learn than the rest, above 0: they are kept divided by it. Under Adam
            steps on them are so many times larger (the paper has 4), under plain gradient descent the square of it.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: changes nothing.
        return_attention_scores: whether to return all weights `(B, H, T, n²)` too; `lookup` has the k alone.
        training: whether "batch" normalises by the statistics of these inputs.

    Returns:
        `(B, T, D)`.

    Example:
    >>> layer = ProductKeyMemory(half_keys=5, num_heads=2, k=3, key_dim=4)
    >>> read, weights = layer(keras.random.normal((2, 3, 8)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(weights.shape)
    ((2, 3, 8), (2, 2, 3, 25))
    >>> indices, weights = layer.lookup(keras.random.normal((2, 3, 8)))
    >>> tuple(indices.shape)
    (2, 2, 3, 3)

    Reference: Lample et al., 2019, https://arxiv.org/abs/1907.05242, section 3; usage and KL: section 4.3.
    """

    def __init__(self, half_keys=128, num_heads=4, k=32, key_dim=256, query_norm="layer", value_rate=1.0, **kwargs):
        super().__init__(**kwargs)
        self.half_keys = whole_number("half_keys", half_keys)
        self.num_heads = whole_number("num_heads", num_heads)
        self.k = whole_number("k", k)
        if k > half_keys:
            raise ValueError(
                f"`k` must be at most `half_keys`, of which each half keeps k. Received: k={k}, half_keys={half_keys}"
            )
        self.key_dim = whole_number("key_dim", key_dim, least=2)
        if key_dim % 2:
            raise ValueError(f"`key_dim` must be even, half of it for each side. Received: key_dim={key_dim}")
        self.query_norm = None if query_norm is None else choose("query_norm", query_norm, NORMS)
        self.value_rate = number("value_rate", value_rate, low=0.0)

    @property
    def slots(self):
        return self.half_keys**2

    @property
    def weight_rows(self):
        return self.num_heads

    def build(self, input_shape):
        width, units = input_shape[-1], self.num_heads * self.key_dim
        self.query_dense = keras.layers.Dense(units, use_bias=False, name="query", dtype=self.dtype_policy)
        self.query_dense.build((None, None, width))
        self.norm = None
        if self.query_norm == "layer":
            self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", dtype=self.dtype_policy)
            self.norm.build((None, None, self.num_heads, self.key_dim))
        elif self.query_norm == "batch":
            self.norm = keras.layers.BatchNormalization(epsilon=1e-5, name="norm", dtype=self.dtype_policy)
            self.norm.build((None, None, units))
        half = self.key_dim // 2
        bound = half**-0.5
        self.keys = self.add_weight(
            name="keys",
            shape=(2, self.num_heads, self.half_keys, half),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.values = self.add_weight(
            name="values",
            shape=(self.slots, width),
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5 / self.value_rate),
            # In half precision the whole table would be cast for the sake of a few rows.
            autocast=False,
        )
        self.built = True

    @once_built
    def lookup(self, inputs, mask=None, training=None):
        """Which slots each head reads, `(B, H, T, k)` int32, best first, and with which weights, `(B, H, T, k)`."""
        inputs = masks.zero(ops.cast(inputs, self.compute_dtype), mask)
        (i, j), weights = self._best(inputs, mask, training)
        return i * self.half_keys + j, weights

    def totals(self, inputs, mask=None):
        """How much weight each slot gets from these inputs in sum, `(N,)` float32; add them up over batches.

        `usage(totals)` and `kl_to_uniform(totals)` say how evenly the memory is used.
        """
        indices, weights = self.lookup(inputs, mask)
        if mask is not None:
            weights = ops.where(ops.cast(mask, "bool")[:, None, :, None], weights, 0.0)
        weights, indices = ops.reshape(ops.cast(weights, "float32"), (-1,)), ops.reshape(indices, (-1,))
        return ops.segment_sum(weights, indices, num_segments=self.slots)

    def _best(self, inputs, mask, training):
        """The indices of the halves of the k best keys, and their weights, `(B, H, T, k)` all."""
        # In float32: in half precision products overflow, and near scores become equal.
        query = ops.cast(self._query(inputs, mask, training), "float32")
        keys = ops.cast(self.keys, "float32")
        halves = (query[..., : self.key_dim // 2], query[..., self.key_dim // 2 :])
        scores = [ops.matmul(part, ops.swapaxes(keys[side], -1, -2)) for side, part in enumerate(halves)]
        best, i, j = best_pairs(*scores, self.k)
        return (i, j), ops.cast(normalizers.softmax(best), self.compute_dtype)

    def _query(self, inputs, mask, training):
        """Queries `(B, H, T, key_dim)`, normalised."""
        query = self.query_dense(inputs)
        if self.query_norm == "batch":
            query = self.norm(query, training=training, mask=mask)
        query = ops.reshape(query, (*ops.shape(query)[:2], self.num_heads, self.key_dim))
        query = self.norm(query) if self.query_norm == "layer" else query
        return ops.swapaxes(query, 1, 2)

    def compute_mix(self, inputs, mask, causal, training):
        read, *found = self._read(inputs, mask, training)
        return read, self._over_all_slots(*found)

    def compute_mix_alone(self, inputs, mask, causal, training):
        return self._read(inputs, mask, training)[0]

    def _read(self, inputs, mask, training):
        """What is read `(B, T, D)`, the indices of the halves and the weights."""
        (i, j), weights = self._best(inputs, mask, training)
        # The heads' slots side by side: (B, T, H k)
        slots, shares = (_heads.join(x) for x in (i * self.half_keys + j, weights))
        values = ops.cast(ops.take(self.values, slots, axis=0), weights.dtype)
        read = ops.matmul(ops.expand_dims(shares, -2), values)[..., 0, :]
        return read * ops.cast(self.value_rate, read.dtype), i, j, weights

    def _over_all_slots(self, i, j, weights):
        # Products of two narrow one-hot arrays, not one wide: (B, H, T, n, k) x (B, H, T, k, n)
        rows, columns = (ops.one_hot(x, self.half_keys, dtype=weights.dtype) for x in (i, j))
        dense = ops.matmul(ops.swapaxes(rows * ops.expand_dims(weights, -1), -1, -2), columns)
        return ops.reshape(dense, (*ops.shape(dense)[:-2], self.slots))

    def get_config(self):
        return {
            **super().get_config(),
            "half_keys": self.half_keys,
            "num_heads": self.num_heads,
            "k": self.k,
            "key_dim": self.key_dim,
            "query_norm": self.query_norm,
            "value_rate": self.value_rate,
        }
