"""What a preset says of one input, in words: what `keras-attn zoo predict` prints."""

import numpy as np
from keras import ops

from zoo import reading, store
from zoo.image import MixerImageClassifier
from zoo.series import MixerForecaster, MixerSeriesClassifier
from zoo.tagger import MixerTagger
from zoo.text import MixerTextClassifier

#: Of classes, so many of the likeliest are named.
SHOWN = 5


def answer(name, given):
    """What a preset says of one input.

    Args:
        name: a name from `zoo.presets()`, or a directory that `save` wrote.
        given: a text, for models of texts, or the path of a file: an image, or numbers (.npy, .csv).

    Returns:
        Lines of text: the likeliest classes with their probabilities, words with their tags, or numbers.

    Example:
    >>> [line.split()[0] for line in answer("mixer_gru_sst2", "a stirring, funny and finally transporting film")]
    ['for', 'against']
    """
    task = store.load(name)
    card = store.card(name)
    for kind, words in _ANSWERS.items():
        if isinstance(task, kind):
            return words(task, _read(task, given), card)
    raise ValueError(f"{name} is a {type(task).__name__}, of which nothing is asked from here: use `zoo.load`.")


def _read(task, given):
    """What the task takes, without a batch axis."""
    reading.check_input(given)
    if isinstance(task, (MixerTextClassifier, MixerTagger)):
        return given
    if not reading.is_file(given):
        raise ValueError(f"The model takes no texts: name a file of an image or of numbers. Received: {given[:40]!r}")
    if isinstance(task, MixerImageClassifier):
        return reading.read_image(given, task.backbone.image_shape)
    numbers = reading.read_numbers(given).astype("float32")
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _classes(task, given, card):
    batch = [given] if isinstance(given, str) else given[None]
    shares = ops.convert_to_numpy(ops.softmax(task.predict(batch, verbose=0)))[0]
    names = card.get("classes") or [str(number) for number in range(len(shares))]
    best = np.argsort(-shares, kind="stable")[:SHOWN]
    wide = max(len(names[each]) for each in best)
    return [f"{names[each]:<{wide}} {shares[each]:.3f}" for each in best]


def _tags(task, given, card):
    words = given.split()
    numbers = task.predict([words], verbose=0)[0].argmax(axis=-1)
    names = card.get("classes") or [str(number) for number in range(task.num_classes)]
    starts = task.preprocessor.first_pieces([words])[0]
    return [f"{word}\t{names[numbers[start]]}" for word, start in zip(words, starts)]


def _steps(task, given, card):
    return [",".join(f"{value:.6g}" for value in step) for step in task.predict(given[None], verbose=0)[0]]


_ANSWERS = {
    MixerTextClassifier: _classes,
    MixerImageClassifier: _classes,
    MixerSeriesClassifier: _classes,
    MixerTagger: _tags,
    MixerForecaster: _steps,
}
