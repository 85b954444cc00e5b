import keras
import numpy as np
import pytest

from tuning import flops, tasks

B, T, D = 3, 7, 5


def x(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def built(layer, *shape):
    layer.build(shape)
    return layer


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        (keras.layers.Dense(11), x(B, T, D), 2 * B * T * D * 11),
        (keras.layers.EinsumDense("btd,dhk->bthk", (None, 2, 13)), x(B, T, D), 2 * B * T * D * 2 * 13),
        (keras.layers.EinsumDense("...d,dk->...k", 13), x(B, T, D), 2 * B * T * D * 13),
        (keras.layers.Conv1D(11, 3, padding="same"), x(B, T, D), 2 * B * T * 3 * D * 11),
        (keras.layers.DepthwiseConv1D(3, padding="same"), x(B, T, D), 2 * B * T * 3 * D),
        # Three gates, from the input and from the state, at every position once.
        (keras.layers.GRU(11), x(B, T, D), 2 * B * T * 3 * 11 * (D + 11)),
        (keras.layers.LSTM(11, return_sequences=True), x(B, T, D), 2 * B * T * 4 * 11 * (D + 11)),
        (keras.layers.LayerNormalization(), x(B, T, D), 0),
    ],
)
def test_products_are_counted_by_hand(layer, inputs, expected):
    assert flops.count(built(layer, *inputs.shape), inputs) == expected


def test_attention_is_its_projections_and_two_products_of_positions():
    layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=11, use_bias=False)
    layer.build((B, T, D), (B, T, D))
    projections = 4 * 2 * B * T * D * 22
    assert flops.count(lambda_of(layer), x(B, T, D)) == projections + 2 * 2 * B * 2 * T * T * 11


def lambda_of(layer):
    return lambda x, training: layer(x, x, training=training)


def test_a_product_of_outer_kind_sums_nothing():
    class Outer(keras.layers.Layer):
        def call(self, x):
            return keras.ops.einsum("btd,bte->btde", x, x)

    assert flops.count(Outer(), x(B, T, D)) == B * T * D * D


def test_counting_leaves_everything_as_it_was():
    from keras.src import backend

    before = backend.numpy.matmul, backend.numpy.einsum, backend.rnn, backend.gru
    with pytest.raises(ZeroDivisionError):
        flops.count(lambda inputs, training: 1 / 0, x(B, D))
    assert before == (backend.numpy.matmul, backend.numpy.einsum, backend.rnn, backend.gru)


@pytest.mark.parametrize(
    ("mixer", "expected"),
    [("identity", 756_192), ("multi_head", 1_739_232), ("gru", 1_862_112), ("gated_conv", 3_336_672)],
)
def test_the_count_is_the_same_on_every_backend(mixer, expected):
    # As counted on tensorflow, jax and torch alike; XLA's products are the same but for the code of positions.
    assert flops.count(tasks.get("digits").model(mixer, 24, 0.0), x(5, 8, 8, 1)) == expected


def test_a_step_is_three_passes_for_an_example():
    assert flops.of_step(built(keras.layers.Dense(11), B, D), x(B, D)) == 3 * 2 * D * 11
