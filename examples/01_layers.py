"""Layers: train a model with additive attention and see what it looks at.

The label of a sequence is the symbol that stands behind the marker. A model that solves it must have looked there.
"""

import keras
import numpy as np

from keras_attn import AdditiveAttention

SYMBOLS, MARKER, LENGTH = 8, 8, 11


def sequences(count, seed):
    """Random symbols with one marker, where the marker is, and the symbol behind it."""
    rng = np.random.default_rng(seed)
    x = rng.integers(SYMBOLS, size=(count, LENGTH))
    place = rng.integers(LENGTH - 1, size=count)
    x[np.arange(count), place] = MARKER
    return x, place, x[np.arange(count), place + 1]


def main(epochs=8):
    """Trains, then returns how often the largest weight falls on the symbol behind the marker."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(SYMBOLS + 1, 32)(tokens)
    # A short convolution lets each position see its neighbour, the marker.
    x = keras.layers.Conv1D(32, 2, padding="causal", activation="relu")(x)
    query = keras.layers.GlobalAveragePooling1D(keepdims=True)(x)
    mix, weights = AdditiveAttention(units=32)(query, x, return_attention_scores=True)
    label = keras.layers.Dense(SYMBOLS)(keras.layers.Flatten()(mix))

    model = keras.Model(tokens, label)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    x_train, _, y_train = sequences(8192, seed=1)
    model.fit(x_train, y_train, epochs=epochs, batch_size=64, verbose=2)

    x_test, place, y_test = sequences(1024, seed=2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    looked_at = keras.Model(tokens, weights).predict(x_test, verbose=0)[:, 0].argmax(axis=-1)
    share = float(np.mean(looked_at == place + 1))
    print(f"accuracy {accuracy:.3f}; the largest weight is on the right symbol in {share:.1%} of sequences")
    return share


if __name__ == "__main__":
    main()
