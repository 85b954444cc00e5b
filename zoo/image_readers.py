"""What becomes of an image's patches when something looks at them: one vector, and where it looked."""

import keras
from keras import ops

from keras_attn import AttentionPooling, Glimpse, GlimpsePolicy, StochasticHardAttention
from keras_attn.lookup import read_spec, whole_number


@keras.saving.register_keras_serializable(package="zoo")
class HardReader(keras.layers.Layer):
    """One learned query draws one position, and what stands there is all that is read.

    A `keras_attn.StochasticHardAttention` with a learned query q: `π = softmax_s(score(q, x_s))`, in training `s ~ π`
    and the result is `x_s`. Without training nothing is drawn. In a `keras_attn.ReinforceModel` the draws learn from
    their reward, elsewhere as if the expectation had been read.

    Args:
        units: width of the hidden layer of an additive score, at least 1; None for the product `q' W x_s`.
        inference: what is read without training, "expectation" (`Σ_s π_s x_s`) or "argmax" (the likeliest position).
        soft_chance: the chance, in [0, 1], that an example in training gets the expectation in place of a draw.
        seed: an integer that makes the draws repeatable.

    Call arguments:
        inputs: `(B, T, D)`.
        return_attention_scores: whether to return π `(B, 1, 1, T)` too.
        training: whether to draw.

    Returns:
        `(B, D)`.

    Example:
    >>> read, chances = HardReader()(keras.random.normal((2, 7, 5)), return_attention_scores=True)
    >>> tuple(read.shape), tuple(chances.shape)
    ((2, 5), (2, 1, 1, 7))

    Reference: Xu et al., 2015, https://arxiv.org/abs/1502.03044, section 4.1.
    """

    def __init__(self, units=None, inference="expectation", soft_chance=0.5, seed=None, **kwargs):
        super().__init__(**kwargs)
        # Which checks the options.
        self.attention = StochasticHardAttention(
            units=units,
            inference=inference,
            soft_chance=soft_chance,
            seed=seed,
            dtype=self.dtype_policy,
            name="attention",
        )

    def build(self, input_shape):
        width = input_shape[-1]
        self.query = self.add_weight(name="query", shape=(1, width))
        self.attention.build((None, 1, width), tuple(input_shape))
        self.built = True

    def call(self, inputs, return_attention_scores=False, training=None):
        query = ops.cast(self.query, self.compute_dtype)[None]
        query = ops.broadcast_to(query, (ops.shape(inputs)[0], *self.query.shape))
        read, chances = self.attention(query, inputs, return_attention_scores=True, training=training)
        return (read[:, 0], chances) if return_attention_scores else read[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def compute_output_spec(self, inputs, return_attention_scores=False, training=None):
        read = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        chances = keras.KerasTensor((inputs.shape[0], 1, 1, inputs.shape[1]), dtype=self.compute_dtype)
        return (read, chances) if return_attention_scores else read

    def get_config(self):
        options = {name: getattr(self.attention, name) for name in ("units", "inference", "soft_chance", "seed")}
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable(package="zoo")
class GlimpseReader(keras.layers.Layer):
    """Looks at a few places of a grid, one after another: what was seen so far proposes the next.

    `l_t = policy(h_{t-1})`, `g_t = relu(W [ρ(x, l_t); l_t] + b)`, `h_t = GRU(g_t, h_{t-1})`, and the result is the last
    h. `h_0` is zero, so that the first place is the same for all. ρ is a `keras_attn.Glimpse` and the policy a
    `keras_attn.GlimpsePolicy`, which draws the places in training. In a `keras_attn.ReinforceModel` the places learn
    from their reward, elsewhere by the gradient through the glimpse, which knows no farther than the neighbours.

    Args:
        grid: rows and columns of the grid whose cells the positions are, row after row.
        count: how many glimpses, at least 1.
        size: cells of a glimpse in either direction, at least 1.
        scales: how many glimpses of a place, each reaching twice as far as the one before and as coarse, at least 1.
        units: width of the state, at least 1; None for D.
        std: standard deviation of the places in training, in units of half a grid, above 0.
        seed: an integer that makes the draws repeatable.

    Call arguments:
        inputs: `(B, T, D)`, T = rows · columns.
        return_places: whether to return the places `(B, count, 2)` too: (x, y) from (-1, -1), the upper left corner,
            to (1, 1), the lower right one.
        training: whether to draw.

    Returns:
        `(B, units)`.

    Example:
    >>> reader = GlimpseReader((3, 5), count=2, units=7)
    >>> read, places = reader(keras.random.normal((4, 15, 11)), return_places=True)
    >>> tuple(read.shape), tuple(places.shape)
    ((4, 7), (4, 2, 2))

    Reference: Mnih et al., 2014, https://arxiv.org/abs/1406.6247, section 3.1 and figure 1.
    """

    def __init__(self, grid, count=4, size=2, scales=2, units=None, std=0.1, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(whole_number("grid", side) for side in grid)
        self.count = whole_number("count", count)
        self.units = whole_number("units", units, optional=True)
        self.glimpse = Glimpse(size, scales, dtype=self.dtype_policy, name="glimpse")
        # Half precision is too coarse for places.
        self.policy = GlimpsePolicy(std, seed=seed, dtype="float32", name="policy")

    def build(self, input_shape):
        if len(self.grid) != 2 or input_shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(
                "The positions must be the cells of a grid of rows and columns, `grid`. "
                f"Received: grid={self.grid}, input_shape={tuple(input_shape)}"
            )
        width, units = input_shape[-1], self.units or input_shape[-1]
        seen = self.glimpse.scales * self.glimpse.size**2 * width
        self.look = keras.layers.Dense(units, activation="relu", dtype=self.dtype_policy, name="look")
        # Keras starts with orthogonal matrices, which no backend can make in half precision.
        self.cell = keras.layers.GRUCell(
            units, recurrent_initializer="glorot_uniform", dtype=self.dtype_policy, name="cell"
        )
        self.look.build((None, seen + 2))
        self.cell.build((None, units))
        self.policy.build((None, units))
        self.built = True

    def call(self, inputs, return_places=False, training=None):
        cells = ops.reshape(inputs, (-1, *self.grid, inputs.shape[-1]))
        state = ops.zeros((ops.shape(inputs)[0], self.cell.units), dtype=self.compute_dtype)
        places = []
        # No loop of Keras's: it would keep a ReinforceModel from what is drawn.
        for _ in range(self.count):
            places.append(self.policy(state, training=training))
            state, _ = self.cell(self._see(cells, places[-1]), [state], training=training)
        return (state, ops.stack(places, axis=1)) if return_places else state

    def _see(self, cells, place):
        """What is seen at a place of `(B, rows, columns, D)`, and which place it was: `(B, units)`."""
        seen = ops.reshape(self.glimpse(cells, place), (-1, self.look.kernel.shape[0] - 2))
        return self.look(ops.concatenate([seen, ops.cast(place, seen.dtype)], axis=-1))

    def shares(self, places):
        """How much of a glimpse each cell makes up, all its scales together: `(B, count, T)`.

        They add up to one, or to less where a glimpse reaches beyond the edge.
        """
        rows, columns = self.grid
        length, count = rows * columns, ops.shape(places)[0] * self.count
        # A picture of each cell is looked at, as a channel.
        cells = ops.broadcast_to(ops.reshape(ops.eye(length), (1, rows, columns, length)), (count, *self.grid, length))
        seen = self.glimpse(cells, ops.reshape(places, (-1, 2)))
        return ops.reshape(ops.mean(ops.cast(seen, "float32"), axis=(1, 2, 3)), (-1, self.count, length))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units or input_shape[-1])

    def compute_output_spec(self, inputs, return_places=False, training=None):
        read = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
        places = keras.KerasTensor((inputs.shape[0], self.count, 2), dtype="float32")
        return (read, places) if return_places else read

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "count": self.count,
            "size": self.glimpse.size,
            "scales": self.glimpse.scales,
            "units": self.units,
            "std": self.policy.std,
            "seed": self.policy.seed,
        }


#: Of each reader its class, and the options that a spec may have.
READERS = {
    "soft": (AttentionPooling, ("score", "num_heads", "units", "normalizer")),
    "hard": (HardReader, ("units", "inference", "soft_chance", "seed")),
    "glimpse": (GlimpseReader, ("count", "size", "scales", "units", "std", "seed")),
}


def get(reader, grid, **kwargs):
    """The layer that a spec means, `(B, T, D)` to `(B, units)`.

    Args:
        reader: a name, "soft", "hard" or "glimpse", or a dictionary `{"reader": name, **options}`.
        grid: rows and columns of the patches.
        **kwargs: what any Keras layer takes.

    Raises:
        ValueError: for a name or an option that is not known, or an option that cannot be.
    """
    name, options = read_spec("reader", reader, READERS, lambda name: READERS[name][1])
    reader_class, _ = READERS[name]
    if reader_class is GlimpseReader:
        options["grid"] = grid
    return reader_class(**options, **kwargs)
