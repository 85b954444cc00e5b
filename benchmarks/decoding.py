"""Greedy decoding with a cache and without: time for 256 tokens, and that the tokens are the same.

    KERAS_BACKEND=tensorflow python benchmarks/decoding.py

Four blocks of multi-head attention and a network, width 256, 4 heads with rotary positions, vocabulary 1000, random
weights. Without a cache each token costs a pass over the whole row, padded to its full length so that it compiles once.
All of the loop is compiled, as a user would: by `tf.function(jit_compile=True)` or `jax.jit`; torch runs eagerly. Both
ways take turns; times are medians.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

import keras_attn

LENGTH, LAYERS, WIDTH, HEADS, VOCABULARY = 256, 4, 256, 4, 1000
BATCHES = (1, 8)
REPEATS = 3
GOAL = 5.0


class Block(keras.layers.Layer):
    """Attention and a network, each behind a norm and beside a short cut."""

    def __init__(self):
        super().__init__()
        self.norms = [keras.layers.LayerNormalization() for _ in range(2)]
        self.attention = keras_attn.MultiHeadAttention(HEADS, use_bias=False, positions="rotary")
        self.hidden = keras.layers.Dense(4 * WIDTH, activation="gelu")
        self.output_dense = keras.layers.Dense(WIDTH)

    def build(self, shape):
        for layer in (*self.norms, self.attention, self.hidden):
            layer.build(shape)
        self.output_dense.build((*shape[:-1], 4 * WIDTH))
        self.built = True

    def call(self, x):
        x = x + self.attention(self.norms[0](x), use_causal_mask=True)
        return self._network(x)

    def step(self, x, state):
        mixed, state = self.attention.step(self.norms[0](x), state)
        return self._network(x + mixed), state

    def _network(self, x):
        return x + self.output_dense(self.hidden(self.norms[1](x)))


class LanguageModel(keras.layers.Layer):
    """Tokens to the scores of the next one."""

    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(VOCABULARY, WIDTH, embeddings_initializer="normal")
        self.blocks = [Block() for _ in range(LAYERS)]
        self.head = keras.layers.Dense(VOCABULARY)
        # Added to the scores, one row for each position: the answer to random weights alone is soon one token for ever.
        self.leanings = np.random.default_rng(0).gumbel(size=(LENGTH, VOCABULARY)).astype("float32")

    def build(self, shape):
        self.embedding.build(shape)
        for layer in (*self.blocks, self.head):
            layer.build((None, None, WIDTH))
        self.built = True

    def without_cache(self, tokens):
        """Tokens `(B, L)` whose first is given, and the others in place of what stood there."""

        def body(position, tokens):
            x = self.embedding(tokens)
            for block in self.blocks:
                x = block(x)
            return position + 1, self._put(tokens, position, ops.take(x, position, axis=1))

        return self._decode(body, tokens)[1]

    def with_cache(self, tokens):
        """The same tokens."""

        def body(position, tokens, states):
            x, after = self.embedding(ops.take(tokens, position, axis=1)), []
            for block, state in zip(self.blocks, states):
                x, state = block.step(x, state)
                after.append(state)
            return position + 1, self._put(tokens, position, x), after

        states = [block.attention.initial_state(tokens.shape[0], LENGTH) for block in self.blocks]
        return self._decode(body, tokens, states)[1]

    def _decode(self, body, *start):
        going = lambda position, *_: position < LENGTH - 1  # noqa: E731
        return ops.while_loop(going, body, (ops.zeros((), dtype="int32"), *start))

    def _put(self, tokens, position, x):
        """The tokens with the likeliest one behind `position`, given the last block's `(B, D)` there."""
        scores = self.head(x) + ops.take(self.leanings, position, axis=0)
        best = ops.cast(ops.argmax(scores, axis=-1), tokens.dtype)
        return ops.slice_update(tokens, (0, position + 1), best[:, None])


def compiled(function, layer):
    """The function as a user would run it."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if backend == "jax":
        import jax

        def of_weights(values, tokens):
            with keras.StatelessScope(state_mapping=zip(layer.variables, values)):
                return function(tokens)

        jitted = jax.jit(of_weights)
        return lambda tokens: jitted([variable.value for variable in layer.variables], tokens)
    import torch

    return torch.no_grad()(function)


def seconds(run, tokens):
    start = time.perf_counter()
    result = ops.convert_to_numpy(run(tokens))
    return time.perf_counter() - start, result


def measure(model, batch):
    """Medians with the cache and without, and whether the tokens are the same."""
    tokens = np.zeros((batch, LENGTH), dtype="int32")
    tokens[:, 0] = np.arange(batch)
    tokens = ops.convert_to_tensor(tokens)
    runs = [compiled(function, model) for function in (model.with_cache, model.without_cache)]
    answers = [seconds(run, tokens)[1] for run in runs]
    times = [[seconds(run, tokens)[0] for run in runs] for _ in range(REPEATS)]
    return *(statistics.median(column) for column in zip(*times)), np.array_equal(*answers)


def main():
    keras.utils.set_random_seed(0)
    model = LanguageModel()
    model.build((None, LENGTH))
    print(f"{keras.config.backend()}, Keras {keras.__version__}, {os.cpu_count()} cores, {REPEATS} repeats each\n")
    print(f"| batch | with cache, s | without, s | times faster (goal {GOAL:.0f}) | same tokens |")
    print("|---|---|---|---|---|")
    for batch in BATCHES:
        cached, whole, same = measure(model, batch)
        print(
            f"| {batch} | {cached:.2f} | {whole:.2f} | {whole / cached:.1f} | {'yes' if same else 'no'} |", flush=True
        )


if __name__ == "__main__":
    main()
