"""Handwritten digits, 8 x 8 pixels: real, small, and it comes with scikit-learn."""

import numpy as np

from tuning.seeds import derive
from tuning.task import Data, Split, Task

VALID, TEST = 300, 500
#: Of a pixel, which is between 0 and 16. Unscaled, a patch is drowned by the code of its position at first.
MEAN, DEVIATION = 4.9, 6.0


def data(seed):
    """1,797 images, shuffled by the seed: 997 to train on, 300 to choose by, 500 to judge by."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(derive(seed, "digits")).permutation(len(labels))
    images = ((images[order] - MEAN) / DEVIATION).astype("float32").reshape(-1, 8, 8, 1)
    labels = labels[order].astype("int32")
    whole = Split(images, labels)
    return Data(
        train=whole.take(slice(VALID + TEST, None)),
        valid=whole.take(slice(VALID)),
        test=whole.take(slice(VALID, VALID + TEST)),
    )


def model(mixer, width, dropout):
    """A classifier over the 16 patches of 2 x 2 pixels."""
    import zoo

    backbone = zoo.MixerImageBackbone((8, 8, 1), patch_size=2, hidden_dim=width, mixer=mixer, dropout=dropout)
    return zoo.MixerImageClassifier(backbone, num_classes=10)


DIGITS = Task(
    name="digits",
    description="Handwritten digits, 8 x 8 pixels, ten classes (scikit-learn's).",
    data=data,
    model=model,
    parameters=20_000,
    epochs=12,
    batch_size=64,
    mixers=(
        "multi_head",
        "additive",
        "gru",
        "gated_conv",
        "linear_recurrence",
        ("gru", "multi_head"),
        "identity",
    ),
    trials=2,
    seeds=3,
    margin=0.01,
    learning_rates=(2e-3, 6e-3, 2e-2),
    dropouts=(0.1,),
)
