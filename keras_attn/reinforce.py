"""Learning what was drawn by chance: the score-function gradient, and a model that brings the reward to the draws.

A choice a that is drawn with probability π(a) has no derivative, but its expected reward R has:
∇ E[R] = E[(R - b) ∇ log π(a)], for any baseline b that does not depend on a. A layer that draws in training tells it
with `record`; whoever opened `recording` around the call gets the draws and, once the reward is known, adds
`score_function_loss`. `ReinforceModel` does both for `compile` and `fit`.

Reference: Williams, 1992, https://doi.org/10.1007/BF00992696; Mnih et al., 2014, https://arxiv.org/abs/1406.6247,
section 3; Xu et al., 2015, https://arxiv.org/abs/1502.03044, section 4.1.
"""

import contextlib
import contextvars
import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_attn.lookup import number

_DRAWS = contextvars.ContextVar("draws", default=None)


class Draw(NamedTuple):
    """What one layer drew in one call, each part `(B, ...)`: a number for each choice.

    Attributes:
        log_prob: log π of what was drawn, 0 where nothing was.
        entropy: the entropy of π; None if nothing can change it.
        baseline: the reward that was expected before the draw; None if the layer expects none.
    """

    log_prob: Any
    entropy: Any = None
    baseline: Any = None


@contextlib.contextmanager
def recording():
    """Collects the draws of all layers called inside: a list of `Draw`, in the order of the calls.

    The draws are tensors of the computation that is under way, so use them in the same one: the same gradient tape,
    `tf.function` or function that jax differentiates, and not across the border of a loop such as `ops.scan`.

    Example:
    >>> with recording() as draws:
    ...     record(log_prob=keras.ops.zeros((3, 2)))
    >>> [tuple(draw.log_prob.shape) for draw in draws]
    [(3, 2)]
    """
    draws = []
    token = _DRAWS.set(draws)
    try:
        yield draws
    finally:
        _DRAWS.reset(token)


def is_recording():
    """Whether someone will bring a reward to what is drawn now."""
    return _DRAWS.get() is not None


def record(log_prob, entropy=None, baseline=None):
    """Tells whoever is recording what was drawn, as `Draw` has it."""
    _DRAWS.get().append(Draw(log_prob, entropy, baseline))


def score_function_loss(log_prob, reward, baseline=0.0, entropy=None, entropy_weight=0.0):
    """-(R - b) log π - λ H, whose gradient is, on average over the draws, that of minus the expected reward.

    Args:
        log_prob: `(B, ...)`, log π of what was drawn.
        reward: `(B,)`, or as `log_prob` if each choice has its own; no gradient passes.
        baseline: a number, `(B,)` or as `log_prob`: b, which must not depend on what was drawn; no gradient passes.
        entropy: H as `log_prob`, or None.
        entropy_weight: λ, at least 0: how much uncertainty is encouraged.

    Returns:
        `(B,)`: the sum over the choices of each example.
    """
    advantage = ops.stop_gradient(_like(reward, log_prob) - _like(baseline, log_prob))
    loss = -advantage * log_prob
    if entropy is not None and entropy_weight:
        loss = loss - entropy_weight * entropy
    return _sum_choices(loss)


def baseline_loss(baseline, reward):
    """(R - b)² for a baseline `(B, ...)` that is learned, summed over the choices of each example: `(B,)`."""
    return _sum_choices(ops.square(ops.stop_gradient(_like(reward, baseline)) - baseline))


def gaussian_log_prob(x, mean, std):
    """The log density of `x` `(B, K)` under independent normal distributions: `(B,)`."""
    constant = math.log(std) + 0.5 * math.log(2.0 * math.pi)
    return -ops.sum(0.5 * ops.square((x - mean) / std) + constant, axis=-1)


def example_losses(loss, y, y_pred, sample_weight=None):
    """The loss of each example `(B,)` and its weight `(B,)`; the mean of their product is what Keras makes of them.

    Args:
        loss: what `compile` takes as the loss of one output: a name, a function or a `keras.losses.Loss`.
        y, y_pred: targets and predictions; a mask that Keras put on the predictions counts.
        sample_weight: what `fit` takes.
    """
    loss = keras.losses.get(loss)
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    reduction = getattr(loss, "reduction", "sum_over_batch_size")
    values = function(*_standardize(y, y_pred))
    if len(values.shape) == 0:
        raise ValueError("What rewards each example needs a loss with a value for each; it returned one for all.")
    weights = _Given("given", "none")(ops.ones_like(values), y_pred, sample_weight)
    weighted = _sum_choices(values * weights)
    weights = _sum_choices(weights)
    # What Keras divides the sum by: one for "sum", the number of unmasked values for a mean.
    scale = _Given("given", reduction)(ops.ones_like(values), y_pred, sample_weight) / _not_zero(ops.sum(weights))
    examples = ops.cast(ops.shape(weights)[0], weights.dtype)
    return weighted / _not_zero(weights), weights * scale * examples


@keras.saving.register_keras_serializable(package="keras_attn")
class ReinforceModel(keras.Model):
    """Trains a model that draws by chance with plain `compile` and `fit`; afterwards the model stands on its own.

    To the loss of `compile` it adds, for all that the layers drew, `score_function_loss` with minus the example's own
    loss as the reward: together the gradient of the expected loss, without bias. What is added has the value zero (and
    its gradient), so that the loss that is shown remains that of the task.

    Args:
        model: any Keras model with layers that draw in training: `StochasticHardAttention`, `GlimpsePolicy`, or your
            own that call `keras_attn.reinforce.record`. They may not stand inside a recurrent layer or another loop
            that is compiled as one: there return log π as an output and use `score_function_loss`.
        reward: a function of `(y, y_pred)` that returns a number for each example, to be made large; None for minus the
            loss. With several outputs, or with `loss_weights`, there must be one.
        entropy_weight: how much uncertainty of the draws is encouraged, at least 0.
        momentum: the baseline is a moving average of the rewards that forgets 1 - momentum in each step, in [0, 1);
            None for no baseline. Layers that learn a baseline use their own.

    Call arguments:
        inputs: what the model takes.
        training: whether the layers draw.

    Returns:
        What the model returns.

    Example:
    >>> from keras_attn import StochasticHardAttention
    >>> inputs = keras.Input((7, 4))
    >>> model = keras.Model(inputs, StochasticHardAttention()(inputs))
    >>> learner = ReinforceModel(model, entropy_weight=0.01)
    >>> learner.compile("adam", "mse")
    >>> x = keras.random.normal((6, 7, 4))
    >>> history = learner.fit(x, x, epochs=2, verbose=0)
    >>> len(history.history["loss"]), tuple(model(x).shape)
    (2, (6, 7, 4))

    Reference: Williams, 1992, https://doi.org/10.1007/BF00992696; Xu et al., 2015, https://arxiv.org/abs/1502.03044,
    eq. 11-12 and the moving average before them.
    """

    def __init__(self, model, reward=None, entropy_weight=0.0, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.reward = reward
        self.entropy_weight = number("entropy_weight", entropy_weight, low=0.0, ends="[)")
        self.momentum = number("momentum", momentum, 0.0, 1.0, "[)", optional=True)
        self.supports_masking = True
        # The average of zeros and costs, and the part of it that is costs.
        self.average = self.add_weight(
            name="average_cost", shape=(2,), initializer="zeros", trainable=False, dtype="float32"
        )
        self._last_call = _LastCall()

    def call(self, inputs, training=None):
        with recording() as self._last_call.draws:
            return self.model(inputs, training=training)

    def build(self, input_shape):
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def compute_mask(self, inputs, mask=None):
        # The model has put its own masks on its outputs.
        return None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        draws = self._last_call.take()
        if not training:
            return loss
        if not draws:
            raise ValueError(
                f"Nothing in {self.model.name!r} drew anything in training, so that there is nothing to reinforce: "
                "train the model itself, or let it have a layer that draws, such as StochasticHardAttention."
            )
        learning = self._reinforcement(draws, y, y_pred, sample_weight)
        return loss + ops.cast(learning - ops.stop_gradient(learning), loss.dtype)

    def _reinforcement(self, draws, y, y_pred, sample_weight):
        """What the draws and the learned baselines have to be moved by: a scalar whose gradient counts."""
        cost, weight = self._costs(y, y_pred, sample_weight)
        expected = self._expected_cost(cost, weight)
        total = 0.0
        for draw in draws:
            own = draw.baseline is not None
            baseline = draw.baseline if own else -expected
            total += score_function_loss(draw.log_prob, -cost, baseline, draw.entropy, self.entropy_weight)
            total += baseline_loss(draw.baseline, -cost) if own else 0.0
        return ops.mean(weight * total)

    def _costs(self, y, y_pred, sample_weight):
        """Minus the reward of each example, and how much each example counts: `(B,)`, float32, without gradient."""
        if self.reward is None and (self.loss is None or keras.tree.is_nested(self.loss)):
            raise ValueError(
                "Without one loss for one output ReinforceModel must be told what to reward: give it `reward`, a "
                f"function of (y, y_pred). Received: loss={self.loss!r}"
            )
        cost = self.loss if self.reward is None else lambda y, y_pred: -self.reward(y, y_pred)
        return [ops.stop_gradient(ops.cast(x, "float32")) for x in example_losses(cost, y, y_pred, sample_weight)]

    def _expected_cost(self, cost, weight):
        """The average cost of the steps before this one; at the first the cost itself, so that nothing is learned."""
        if self.momentum is None:
            return ops.zeros_like(cost)
        average, seen = self.average[0], self.average[1]
        now = ops.sum(weight * cost) / _not_zero(ops.sum(weight))
        fresh = 1.0 - self.momentum
        # Before the assignment: torch writes into the very memory that these two stand in.
        expected = ops.where(seen > 0.0, average / _not_zero(seen), cost)
        self.average.assign(ops.stack([self.momentum * average + fresh * now, self.momentum * seen + fresh]))
        return expected

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "reward": None if self.reward is None else keras.saving.serialize_keras_object(self.reward),
            "entropy_weight": self.entropy_weight,
            "momentum": self.momentum,
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("model", "reward")}
        return cls(**{**config, **parts})


class _LastCall:
    """A place for the draws on their way from `call` to `compute_loss`, which Keras does not look into."""

    draws = ()

    def take(self):
        # Once: another step's draws belong to another computation.
        draws, self.draws = self.draws, ()
        return draws


class _Given(keras.losses.Loss):
    """Losses that are known already: only Keras's masking, weighting and reduction are left to do."""

    def call(self, y_true, y_pred):
        return y_true


def _standardize(y, y_pred):
    """Targets and predictions as Keras hands them to a loss: floating point, and of one rank."""
    y, y_pred = keras.tree.map_structure(
        lambda x: None if x is None else ops.cast(x, keras.config.floatx()), (y, y_pred)
    )
    if y is None:
        return y, y_pred
    if not keras.tree.is_nested(y) and not keras.tree.is_nested(y_pred):
        if len(y.shape) + 1 == len(y_pred.shape) and y_pred.shape[-1] == 1:
            y = ops.expand_dims(y, -1)
        elif len(y.shape) == len(y_pred.shape) + 1 and y.shape[-1] == 1:
            y = ops.squeeze(y, -1)
    return y, y_pred


def _sum_choices(x):
    """`(B, ...)` to `(B,)`."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape)))) if len(x.shape) > 1 else x


def _like(x, choices):
    """`x`, a number or `(B,)` or `(B, ...)`, with as many axes as `choices`."""
    x = ops.convert_to_tensor(x, dtype=choices.dtype)
    missing = len(choices.shape) - len(x.shape)
    return ops.reshape(x, (*ops.shape(x), *(1 for _ in range(missing)))) if len(x.shape) else x


def _not_zero(x):
    return ops.where(x == 0.0, ops.ones_like(x), x)
