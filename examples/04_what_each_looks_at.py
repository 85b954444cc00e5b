"""What each mechanism looks at: all of them learn one small task, and their weights on one input stand side by side.

The task: at each position, say what stood three positions before. A mechanism that can point there shows a line beside
the diagonal; one that cannot shows what it does instead. Before the positions persistent
and key-value memory have learned rows; the last two look at slots of a memory.
`docs/images/weights.png` is this picture.
"""

import sys

import keras
import numpy as np

from keras_attn import mixers, positions

LENGTH, BACK, SYMBOLS, WIDTH = 24, 3, 6, 32
SPECS = {
    "additive": "additive",
    "general": "multiplicative",
    "multi-head": {"mixer": "multi_head", "num_heads": 2},
    "multi-head, rotary": {"mixer": "multi_head", "num_heads": 2, "positions": "rotary"},
    "multi-head, ALiBi": {"mixer": "multi_head", "num_heads": 2, "positions": "alibi"},
    "multi-head, window 5": {"mixer": "multi_head", "num_heads": 2, "sliding_window": 5},
    "sparsemax": {"mixer": "multi_head", "num_heads": 2, "normalizer": "sparsemax"},
    "sink": {"mixer": "multi_head", "num_heads": 2, "normalizer": "sink"},
    "stochastic hard": "stochastic_hard",
    "location": "location",
    "local, predictive": "local",
    "location-sensitive": "location_sensitive",
    "Gaussian window": "gaussian_window",
    "monotonic": "monotonic",
    "monotonic chunkwise": "monotonic_chunkwise",
    "linear": {"mixer": "linear_attention", "num_heads": 2},
    "retention": {"mixer": "retention", "num_heads": 2},
    "gated linear": {"mixer": "gated_linear_attention", "num_heads": 2},
    "delta rule": {"mixer": "delta_rule", "num_heads": 2},
    "persistent memory": {"mixer": "persistent_memory", "num_heads": 2, "slots": 8},
    "Hopfield": {"mixer": "hopfield", "num_heads": 2},
    "key-value memory": "key_value_memory",
    "Turing machine": "neural_turing_machine",
    "differentiable computer": "differentiable_neural_computer",
}


def sequences(count, seed):
    """Random symbols, and at each position the one three before (the first ones: symbol 0)."""
    x = np.random.default_rng(seed).integers(1, SYMBOLS, size=(count, LENGTH))
    return x, np.pad(x, ((0, 0), (BACK, 0)))[:, :LENGTH]


def trained_weights(spec, epochs):
    """The weights `(H, T, S)` on the first test sequence, and the share of right answers in the test."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((LENGTH,), dtype="int32")
    embedded = keras.layers.Embedding(SYMBOLS, WIDTH)(tokens) + 0.5 * positions.sinusoid(np.arange(LENGTH), WIDTH)
    mix, weights = mixers.get(spec)(embedded, use_causal_mask=True, return_attention_scores=True)
    answers = keras.layers.Dense(SYMBOLS)(keras.layers.concatenate([embedded, mix]))
    model = keras.Model(tokens, answers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    model.fit(*sequences(4096, seed=1), epochs=epochs, batch_size=64, verbose=0)
    x, y = sequences(256, seed=2)
    accuracy = model.evaluate(x, y, verbose=0)[1]
    weights = keras.ops.convert_to_numpy(keras.Model(tokens, weights)(x[:1]))[0]
    return weights if weights.ndim == 3 else weights[None], accuracy


def main(specs=SPECS, epochs=6, out=None):
    """Trains all, and returns for each the weights and the share of right answers; `out` is a file for the picture."""
    found = {}
    for name, spec in specs.items():
        found[name] = trained_weights(spec, epochs)
        print(f"{name:22} {found[name][1]:.3f}", flush=True)
    if out:
        draw(found, out)
    return found


def draw(found, out):
    """A panel for each mechanism: its head with the most on one key, queries downwards, keys or slots to the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(-(-len(found) // 5), 5, figsize=(12, 2.75 * -(-len(found) // 5)), squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (name, (weights, accuracy)) in zip(axes.flat, found.items()):
        head = max(weights, key=lambda w: np.abs(w).max(axis=-1).mean())
        panel.imshow(np.abs(head), cmap="Blues", aspect="auto", vmin=0.0, vmax=max(np.abs(head).max(), 1e-9))
        panel.set_title(f"{name}\n{accuracy:.0%} right", fontsize=9)
        panel.set_axis_on()
        panel.set_xticks([])
        panel.set_yticks([])
    figure.tight_layout()
    figure.savefig(out, dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    main(out=sys.argv[1] if len(sys.argv) > 1 else "weights.png")
