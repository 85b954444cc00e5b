"""Series with classes or numbers."""

import numpy as np

from tuning.own.images import keys

SUBJECT = "series"
#: Series are cut into at most this many tokens.
TOKENS = 128
MIXERS = ("multi_head", "additive", "gru", "gated_conv", "linear_recurrence", ("gru", "multi_head"))
CONTROLS = ("identity", "pooling")
RATES, DROPOUTS = (1e-3, 3e-3, 1e-2), (0.1,)

__all__ = ["keys"]


def measure(x, test=None):
    """Channels, steps, how many of them make a token, and whether any number is missing, of the test data too."""
    steps, channels = x.shape[1:]
    patch = -(-steps // TOKENS)
    return {
        "channels": int(channels),
        "sequence_length": int(steps - steps % patch),
        "patch_size": int(patch),
        "marks_missing": bool(np.isnan(x).any() or (test is not None and np.isnan(test).any())),
    }


def describe(sizes, x):
    """In words, what `measure` found."""
    cut = x.shape[1] - sizes["sequence_length"]
    said = f"series of {x.shape[1]} steps of {sizes['channels']} number{'s' * (sizes['channels'] > 1)}"
    said += f", {sizes['patch_size']} steps a token" if sizes["patch_size"] > 1 else ""
    said += f" (the first {cut} left away)" if cut else ""
    return said + missing(x)


def missing(x):
    """What becomes of missing numbers, in words; empty if there are none."""
    share = np.isnan(x).mean()
    return f"; {share:.1%} of the numbers are missing, which channels of their own mark" if share else ""


def learn(x, sizes):
    """The preprocessor with mean and deviation of the training series."""
    import zoo

    return zoo.MixerSeriesPreprocessor.of(x, sequence_length=sizes["sequence_length"])


def prepare(preprocessor, x):
    return np.asarray(preprocessor(x), "float32")


def model(mixer, width, dropout, sizes, outputs):
    """A classifier over steps."""
    import zoo

    backbone = zoo.MixerSeriesBackbone(mixer=mixer, hidden_dim=width, dropout=dropout, **sizes)
    return zoo.MixerSeriesClassifier(backbone, num_classes=outputs, dropout=dropout)
