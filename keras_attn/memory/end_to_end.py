import keras
from keras import ops

from keras_attn import masks, normalizers, scores
from keras_attn.lookup import choose, number, whole_number
from keras_attn.memory import _hops

TYINGS = ("adjacent", "layer_wise", "key_value")


@keras.saving.register_keras_serializable(package="keras_attn")
class EndToEndMemory(keras.layers.Layer):
    """An end-to-end memory network: a question is asked of a story, of which each sentence is a slot, in several hops.

    Hop k weighs the sentences by `p_i = softmax_i(u_k · m_i)`, reads `o_k = Σ_i p_i c_i` and goes on with `u_{k+1}`:

    - "adjacent": the values of a hop are the keys of the next one, and `u_{k+1} = u_k + o_k`.
    - "layer_wise": all hops share keys and values, and `u_{k+1} = H u_k + o_k`.
    - "key_value": all hops share keys and values, and `u_{k+1} = R_k (u_k + o_k)`: a key-value memory network.

    To each key and value of a sentence a learned row is added that says how long ago it was, the last sentence first.
    Padding, wherever it stands, takes no part and moves nothing.

    The layer starts from vectors; a `SentenceEncoder` with `memory.tables` tables makes them of words. What knows the
    sentences otherwise stacks keys and values along the third axis.

    Args:
        hops: how often the memory is read, at least 1.
        tying: "adjacent", "layer_wise" or "key_value".
        slots: how many of the last sentences are remembered, at least 1. None for all, without a sense of time.
        noise: in training, how many empty slots there are for each sentence, in [0, 1). They hold nothing and are not
            read; they move what was before them further back, so that the rows for times do not learn by heart.
        seed: an integer that makes the noise repeatable.

    Call arguments:
        query: `(B, T, D)`, T questions about the story, or `(B, D)` for one.
        story: `(B, S, R, D)`, S sentences in their order, each through R tables: hops + 1 of them if "adjacent" (hop k
            has its keys in table k, its values in table k + 1), else 2 (keys, values).
        query_mask: boolean `(B, T)`; the output is zero where it is False.
        story_mask: boolean `(B, S)`, True for real sentences. Keras fills both masks in from the inputs.
        return_attention_scores: whether to return the weights too.
        training: whether there is noise.

    Returns:
        `u_{hops + 1}`, of the query's shape, and if asked for the weights `(B, hops, T, S)`. About a story without
        sentences the weights are zero and nothing is read: what comes back is made of the question alone.

    Attributes:
        tables: R, how many vectors of each sentence it needs.
        linear: a variable; while it is 1 there is no softmax, and the weights are the scores themselves (0 where
            masked). The callback `LinearStart` sets it.

    Example:
    >>> from keras_attn import SentenceEncoder
    >>> memory = EndToEndMemory(hops=2)
    >>> encoder = SentenceEncoder(vocabulary_size=11, units=8, tables=memory.tables)
    >>> story, question = keras.ops.array([[[4, 2, 0], [7, 1, 3], [0, 0, 0]]]), keras.ops.array([[5, 2]])
    >>> state, weights = memory(encoder(question, table=0), encoder(story), return_attention_scores=True)
    >>> tuple(encoder(state, reverse=True).shape), tuple(weights.shape)
    ((1, 11), (1, 2, 1, 3))

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, eq. 1-4, sections 2.2 (tying), 4.1 (time,
    noise) and 4.2 (linear start); Miller et al., 2016, https://arxiv.org/abs/1606.03126, section 3.1 (key-value).
    """

    #: What `LinearStart` asks for.
    can_be_linear = True

    def __init__(self, hops=3, tying="adjacent", slots=50, noise=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.hops = whole_number("hops", hops)
        self.tying = choose("tying", tying, TYINGS)
        self.slots = whole_number("slots", slots, optional=True)
        self.noise = number("noise", noise, 0.0, 1.0, "[)")
        if noise and slots is None:
            raise ValueError(f"`noise` moves sentences in time, and without `slots` there is none. Received: {noise=}")
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed) if noise else None

    @property
    def tables(self):
        return self.hops + 1 if self.tying == "adjacent" else 2

    def build(self, query_shape, story_shape):
        self._check_shapes(query_shape, story_shape)
        width = query_shape[-1]
        self.linear = self.add_weight(name="linear", shape=(), initializer="zeros", trainable=False, dtype="float32")
        if self.slots:
            self.times = self.add_weight(
                name="times",
                shape=(self.slots, self.tables, width),
                initializer=keras.initializers.RandomNormal(stddev=0.1),
            )
        # Started at the identity they leave the sum of question and answers that the other tying has.
        if self.tying == "layer_wise":
            self.between = self.add_weight(name="between", shape=(width, width), initializer="identity")
        elif self.tying == "key_value":
            self.between = [
                self.add_weight(name=f"between_{hop}", shape=(width, width), initializer="identity")
                for hop in range(self.hops)
            ]
        self.built = True

    def _check_shapes(self, query_shape, story_shape):
        who = f"{type(self).__name__} {self.name!r}"
        if len(query_shape) not in (2, 3) or query_shape[-1] is None:
            raise ValueError(
                f"{who} takes a query (B, T, D) or (B, D), D known. Received: query of shape {query_shape}"
            )
        if len(story_shape) != 4 or tuple(story_shape[2:]) != (self.tables, query_shape[-1]):
            raise ValueError(
                f"{who} with tying={self.tying!r} and hops={self.hops} takes a story (B, S, {self.tables}, "
                f"{query_shape[-1]}): {self.tables} vectors of each sentence, as wide as the query. "
                f"Received: query of shape {tuple(query_shape)}, story of shape {tuple(story_shape)}"
            )

    def call(self, query, story, query_mask=None, story_mask=None, return_attention_scores=False, training=None):
        self._check_shapes(query.shape, story.shape)
        one = len(query.shape) == 2
        query_mask = None if one or query_mask is None else ops.cast(query_mask, "bool")
        state = masks.zero(query[:, None] if one else query, query_mask)
        story, remembered = self._remember(story, story_mask, training)
        state, weights = _hops.ask(
            ops.cast(state, "float32"),
            [(story[:, :, keys], story[:, :, values]) for keys, values in self._tables_of_hops()],
            weigh=lambda state, keys: self._weigh(scores.dot(state, keys), remembered[:, None]),
            advance=self._advance,
        )
        state = masks.zero(ops.cast(state, self.compute_dtype), query_mask)
        state = state[:, 0] if one else state
        return (state, ops.cast(weights, self.compute_dtype)) if return_attention_scores else state

    def _tables_of_hops(self):
        """Which table has the keys of each hop, and which its values."""
        return [(hop, hop + 1) if self.tying == "adjacent" else (0, 1) for hop in range(self.hops)]

    def _remember(self, story, mask, training):
        """What the slots hold `(B, S, R, D)`, in float32, and which are in use `(B, S)`."""
        mask = ops.ones(ops.shape(story)[:2], dtype="bool") if mask is None else ops.cast(mask, "bool")
        if not self.slots:
            return ops.cast(masks.zero(story, mask), "float32"), mask
        real = ops.cast(mask, "int32")
        remembered = ops.logical_and(mask, _count_later(real) < self.slots)
        ages = _count_later(real)
        if training and self._seeds is not None:
            empty = ops.cast(keras.random.uniform(ops.shape(real), seed=self._seeds) < self.noise, "int32") * real
            ages = ages + _count_later(empty) + empty
        times = ops.take(ops.cast(self.times, "float32"), ops.minimum(ages, self.slots - 1), axis=0)
        return ops.cast(masks.zero(story, remembered), "float32") + times, remembered

    def _weigh(self, scores, allowed):
        softmax = normalizers.softmax(scores, allowed)
        return ops.where(self.linear > 0.5, ops.where(allowed, scores, 0.0), softmax)

    def _advance(self, hop, state, read):
        if self.tying == "adjacent":
            return state + read
        if self.tying == "layer_wise":
            return ops.matmul(state, ops.cast(self.between, "float32")) + read
        return ops.matmul(state + read, ops.cast(self.between[hop], "float32"))

    def compute_output_shape(self, query_shape, story_shape=None):
        return tuple(query_shape)

    def compute_output_spec(
        self, query, story, query_mask=None, story_mask=None, return_attention_scores=False, training=None
    ):
        self._check_shapes(query.shape, story.shape)
        state = keras.KerasTensor(tuple(query.shape), dtype=self.compute_dtype)
        if not return_attention_scores:
            return state
        questions = 1 if len(query.shape) == 2 else query.shape[1]
        shape = (query.shape[0], self.hops, questions, story.shape[1])
        return state, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_mask(self, query, mask=None):
        # One question alone is an example, and no position of one.
        return mask if len(query.shape) == 3 else None

    def get_config(self):
        return {
            **super().get_config(),
            "hops": self.hops,
            "tying": self.tying,
            "slots": self.slots,
            "noise": self.noise,
            "seed": self.seed,
        }


def _count_later(counts):
    """The sum of what stands behind each place: `(B, S)` of `(B, S)`."""
    return ops.sum(counts, axis=1, keepdims=True) - ops.cumsum(counts, axis=1)
