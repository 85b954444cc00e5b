import keras
from keras import ops

from keras_attn import masks, noise, normalizers, reinforce, scores
from keras_attn.cached import Cached
from keras_attn.lookup import choose, flag, number, whole_number
from keras_attn.mixer import zero_padding

INFERENCE = ("expectation", "argmax")


@keras.saving.register_keras_serializable(package="keras_attn")
class StochasticHardAttention(Cached):
    """Hard attention: each query draws one position and reads the value there, and nothing else.

    `π = softmax(score(q, k))`; in training `s ~ π` and the mix is `v_s`. The score is `q' W k`, or with `units` that of
    additive attention. Without training nothing is drawn, and the mix is `Σ_s π_s v_s` ("expectation") or the value
    where π is largest ("argmax").

    How the scores learn is up to who trains. In a `keras_attn.ReinforceModel` they get the score-function gradient
    (REINFORCE) of the expected loss, which is exact on average. In any other model no reward reaches the draws, and the
    gradient is straight-through's, as if the mix had been the expectation: the first-order approximation of the same.

    Args:
        units: width of the hidden layer of an additive score, at least 1; None for the product `q' W k`.
        inference: what is read without training, "expectation" or "argmax".
        soft_chance: the chance, in [0, 1], that an example in training gets the expectation in place of draws. It
            steadies training and lets what follows see both.
        learned_baseline: whether to learn from the query which reward to expect. Only a `ReinforceModel` trains it.
        dropout: share of the positions that cannot be drawn in a training step, in [0, 1).
        seed: an integer that makes the draws repeatable.

    Call arguments:
        query: `(B, T, D)`, or a list `[query, value]` or `[query, value, key]`.
        value: `(B, S, Dv)`; None for self-attention.
        key: `(B, S, Dk)`; None for the value.
        query_mask, value_mask, key_mask: boolean `(B, T)` and `(B, S)`, True for real positions.
        attention_mask: boolean `(T, S)` or `(B, T, S)`, True where looking is allowed.
        use_causal_mask: whether to forbid looking at later positions.
        return_attention_scores: whether to return π `(B, 1, T, S)` too: the chances before dropout, not the draw.
        training: whether to draw.

    Returns:
        The mix `(B, T, Dv)`.

    Example:
    >>> layer = StochasticHardAttention()
    >>> query, value = keras.random.normal((2, 3, 5)), keras.random.normal((2, 7, 4))
    >>> read, chances = layer(query, value, return_attention_scores=True, training=True)
    >>> tuple(read.shape), tuple(chances.shape)
    ((2, 3, 4), (2, 1, 3, 7))

    Reference: Xu et al., 2015, https://arxiv.org/abs/1502.03044, section 4.1; Bengio et al., 2013,
    https://arxiv.org/abs/1308.3432 (straight-through).
    """

    def __init__(
        self,
        units=None,
        inference="expectation",
        soft_chance=0.5,
        learned_baseline=False,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.units = whole_number("units", units, optional=True)
        self.inference = choose("inference", inference, INFERENCE)
        self.soft_chance = number("soft_chance", soft_chance, 0.0, 1.0, "[]")
        self.learned_baseline = flag("learned_baseline", learned_baseline)
        self._seeds = keras.random.SeedGenerator(seed)

    def build_weights(self, query_shape, value_shape, key_shape):
        if self.units is None:
            self.kernel = self.add_weight(name="kernel", shape=(query_shape[-1], key_shape[-1]))
        else:
            # One bias serves both: they are only ever added.
            self.query_dense = self._dense(self.units, "query", query_shape, use_bias=False)
            self.key_dense = self._dense(self.units, "key", key_shape)
            self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="glorot_uniform")
        if self.learned_baseline:
            self.baseline_dense = self._dense(1, "baseline", query_shape)

    def _dense(self, units, name, shape, use_bias=True):
        dense = keras.layers.Dense(units, use_bias=use_bias, name=name, dtype=self.dtype_policy)
        dense.build(shape)
        return dense

    def compute_scores(self, query, key):
        """Scores `(B, 1, T, S)`, larger for a better match."""
        if self.units is None:
            return ops.expand_dims(scores.general(query, key, self.kernel), 1)
        return ops.expand_dims(scores.additive(self.query_dense(query), self.key_dense(key), self.scale), 1)

    def compute_weights(self, query, key, value, mask, query_mask=None, training=None):
        return ops.cast(self._chances(query, key, mask), self.compute_dtype)

    def compute_mix(self, weights, value, query):
        if self.inference == "argmax":
            weights = _one_hot(weights, weights)
        return ops.matmul(weights[:, 0], value)

    def _chances(self, query, key, mask):
        """π in float32: log π in half precision has gradients that overflow."""
        return normalizers.softmax(ops.cast(self.compute_scores(query, key), "float32"), mask)

    def _attend(self, query, value, key, query_mask, source_mask, asked):
        if not asked.training:
            return super()._attend(query, value, key, query_mask, source_mask, asked)
        allowed = self._allowed(query, key, source_mask, asked)
        query, value, key = zero_padding(query, value, key, query_mask, source_mask)
        chances = self._chances(query, key, allowed)
        seed = self._next_seed(asked)
        # A padded query draws nothing: it has no part in log π and none in the entropy.
        real = 1.0 if query_mask is None else ops.cast(query_mask[:, None, :, None], "float32")
        used = ops.cast(self._draw(self._drop_out(chances, seed) * real, query, seed), self.compute_dtype)
        chances = ops.cast(chances, self.compute_dtype)
        chosen = chances if isinstance(asked.weights, bool) else ops.take(chances, list(asked.weights), axis=2)
        return masks.zero(ops.matmul(used[:, 0], value), query_mask), chosen

    def attend_step(self, query, prepared, state, seed=None):
        if seed is not None and reinforce.is_recording():
            raise ValueError(
                f"Inside of a decoder's loop {type(self).__name__} {self.name!r} cannot tell a ReinforceModel what it "
                "drew. Train it in another model: its gradient is then that of straight-through."
            )
        return super().attend_step(query, prepared, state, seed)

    def _drop_out(self, chances, seed):
        """The chances when some positions cannot be drawn; they sum to one again, or to zero if none is left."""
        if not self.dropout:
            return chances
        left = noise.dropout(chances, self.dropout, seed)
        total = ops.sum(left, axis=-1, keepdims=True)
        return left / ops.where(total > 0.0, total, 1.0)

    def _draw(self, chances, query, seed):
        """What each query reads, `(B, 1, T, S)`: one position, or in soft examples all by their chances."""
        drawn = draw(chances, seed)
        soft = noise.uniform(seed, (ops.shape(chances)[0], 1, 1, 1), stream=2) < self.soft_chance
        if reinforce.is_recording():
            self._record(ops.where(soft, 0.0, drawn), chances, query)
            return ops.where(soft, chances, drawn)
        # In this order the two soft terms cancel exactly.
        return ops.where(soft, chances, drawn + (chances - ops.stop_gradient(chances)))

    def _record(self, drawn, chances, query):
        """Tells log π of what was drawn `(B, T)`, the entropy of π and the reward that was expected."""
        chance = ops.sum(drawn * chances, axis=(1, 3))
        log_prob = ops.log(ops.where(chance > 0.0, chance, 1.0))
        entropy = -ops.sum(chances * ops.log(ops.where(chances > 0.0, chances, 1.0)), axis=(1, 3))
        baseline = None
        if self.learned_baseline:
            baseline = ops.cast(self.baseline_dense(ops.stop_gradient(query))[..., 0], "float32")
            # There is nothing to learn from a padded query's expectation.
            baseline = ops.where(ops.sum(chances, axis=(1, 3)) > 0.0, baseline, ops.stop_gradient(baseline))
        reinforce.record(log_prob, entropy, baseline)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "inference": self.inference,
            "soft_chance": self.soft_chance,
            "learned_baseline": self.learned_baseline,
        }


def draw(chances, seed):
    """One position for each row of `chances` `(B, H, T, S)`, drawn with these chances, as a one in a row of zeros.

    Of clocks that ring at random times with rates π_s, s rings first with the chance π_s: Gumbel's trick without its
    logarithms. What has no chance is never drawn, and a row of zeros stays one.
    """
    times = -ops.log(noise.uniform(seed, ops.shape(chances), stream=1))
    return _one_hot(ops.stop_gradient(chances) / times, chances)


def _one_hot(x, chances):
    """A one where `x` is largest along the last axis, if it has a chance."""
    winner = ops.one_hot(ops.argmax(x, axis=-1), ops.shape(x)[-1], dtype=chances.dtype)
    return ops.where(chances > 0.0, winner, ops.zeros_like(winner))
