"""What a preset says of one input, in words: what `keras-attn zoo predict` prints."""

import keras
import keras_hub
import numpy as np
from keras import ops

from zoo import reading, store
from zoo.caption import MixerCaptioner
from zoo.explaining import series, sound
from zoo.forecaster import MixerForecaster
from zoo.image import MixerImageClassifier
from zoo.language import MixerCausalLM
from zoo.recognizer import MixerSpeechRecognizer
from zoo.seq2seq import MixerSeq2SeqLM
from zoo.series import MixerSeriesClassifier
from zoo.speech import MixerSpeechClassifier
from zoo.story import MixerStoryAnswerer
from zoo.tagger import MixerTagger
from zoo.text import MixerTextClassifier
from zoo.tokens import SPECIAL
from zoo.transcriber import MixerAudioToText

#: Of classes, so many of the likeliest are named.
SHOWN = 5
#: By so many tokens a text is continued.
FURTHER = 64


def answer(name, given):
    """What a preset says of one input.

    Args:
        name: a name from `zoo.presets()`, or a directory that `save` wrote.
        given: a text, for models of texts (of stories one that ends with the question), or the path of a file: an
            image, a sound (.wav), or numbers (.npy, .csv). For a forecaster that is told what is known ahead the last
            rows are the steps that it forecasts, with what is known of them filled in, and all else empty or NaN.

    Returns:
        Lines of text: the likeliest classes or answers with their probabilities, words with their tags, numbers, a text
        that stands for what was given, or one that goes on with it. Behind answers from a memory stand its weights, of
        each hop, before each sentence of the story.

    Example:
    >>> [line.split()[0] for line in answer("mixer_gru_sst2", "a stirring, funny and finally transporting film")]
    ['for', 'against']
    """
    task = store.load(name)
    card = reading.read_card(name)
    for kind, words in _ANSWERS.items():
        if isinstance(task, kind):
            return words(task, _read(task, given), card)
    raise ValueError(f"{name} is a {type(task).__name__}, of which nothing is asked from here: use `zoo.load`.")


def _read(task, given):
    """What the task takes, without a batch axis."""
    if isinstance(task, (MixerTextClassifier, MixerTagger, MixerCausalLM, MixerSeq2SeqLM, MixerStoryAnswerer)):
        if not any(map(str.isspace, given)):
            # One word that ends like a file's name is meant as one.
            reading.check_input(given)
        reading.check_text(given, may_be_empty=isinstance(task, MixerCausalLM))
        reading.check_known(task.preprocessor, given)
        return given
    reading.check_input(given)
    if not reading.is_file(given):
        raise ValueError(
            f"The model takes no texts: name a file of an image, a sound or numbers. Received: {given[:40]!r}"
        )
    if isinstance(task, (MixerImageClassifier, MixerCaptioner)):
        return reading.read_image(given, task.backbone.image_shape)
    if str(given).lower().endswith(reading.SOUNDS):
        return _read_sound(task, given)
    numbers = reading.read_numbers(given).astype("float32")
    if isinstance(task, (MixerSpeechClassifier, MixerSpeechRecognizer, MixerAudioToText)):
        return sound.recording(task, numbers)
    return _read_series(task, numbers)


def _read_series(task, numbers):
    """The last steps of a series; for a forecaster that is told of the steps ahead a dict of them and of what it is."""
    told = None if getattr(task, "ahead", None) is None else series.past_and_coming(task, numbers)
    past, shape = (numbers, task.input_shape) if told is None else (told["series"], task.backbone.input_shape)
    past = series.last_steps(task.preprocessor, past, shape)
    series.entrance(task, past)  # Whether what is missing may be so.
    return past if told is None else {**told, "series": past}


def _finite(outputs):
    """Outputs as an array, if they are numbers."""
    outputs = ops.convert_to_numpy(outputs)
    if not np.isfinite(outputs).all():
        raise ValueError(
            "The model must answer with finite numbers. Received: an input to which it does not; it may hold numbers "
            "that are missing or not finite"
        )
    return outputs


def _read_sound(task, given):
    converter = getattr(task.preprocessor, "audio_converter", None)
    if converter is None:
        raise ValueError(f"The model takes no sounds: name a file of numbers. Received: {str(given)!r}")
    return reading.read_sound(given, converter.log_mel.sample_rate)


def _classes(task, given, card):
    batch = [given] if isinstance(given, str) else given[None]
    outputs, own = _finite(task.predict(batch, verbose=0)), reading.unit(card)
    if own:
        unit, zero = own
        return [f"{outputs[0, 0] * unit + zero:.6g}"]
    are_shares = getattr(task, "activation", None) is keras.activations.softmax
    shares = ops.convert_to_numpy(outputs if are_shares else ops.softmax(outputs))[0]
    return _likeliest(shares, reading.class_names(card) or list(map(str, range(len(shares)))))


def _likeliest(shares, names):
    best = np.argsort(-shares, kind="stable")[:SHOWN]
    wide = max(len(names[each]) for each in best)
    return [f"{names[each]:<{wide}} {shares[each]:.3f}" for each in best]


def _answers(task, given, card):
    shares = ops.convert_to_numpy(ops.softmax(task.predict([given], verbose=0)))[0]
    lines = _likeliest(shares[len(SPECIAL) :], task.preprocessor.tokenizer.get_vocabulary()[len(SPECIAL) :])
    if task.backbone.memory is None:
        return lines
    (look,), ((sentences, _),) = task.look([given]), task.preprocessor.kept([given])
    return lines + [f"{' '.join(f'{weight:.2f}' for weight in hops)}  {each}" for hops, each in zip(look.T, sentences)]


def _tags(task, given, card):
    names, lines = reading.class_names(card) or list(map(str, range(task.num_classes))), []
    for words in _stretches(given.split(), task.preprocessor):
        numbers = task.predict([words], verbose=0)[0].argmax(axis=-1)
        starts = task.preprocessor.first_pieces([words])[0]
        lines += [f"{word}\t{names[numbers[start]]}" for word, start in zip(words, starts)]
    return lines


def _stretches(words, preprocessor):
    """The words in parts, each of as many as the model reads at once."""
    while words:
        count = len(preprocessor.first_pieces([words])[0])
        if count < len(words):
            # Of the last one the model may not see the end.
            count = max(1, count - 1)
        yield words[:count]
        words = words[count:]


def _steps(task, given, card):
    batch = {name: each[None] for name, each in given.items()} if isinstance(given, dict) else given[None]
    return [",".join(f"{value:.6g}" for value in step) for step in _finite(task.predict(batch, verbose=0))[0]]


def _continuation(task, given, card):
    # Drawn from the likeliest tokens, always the same ones: the likeliest alone go round in circles.
    task.compile(sampler=keras_hub.samplers.TopPSampler(p=0.9, seed=0))
    length = 1 + len(task.preprocessor.tokenizer(given)) + FURTHER
    return task.generate(given, max_length=min(length, task.backbone.sequence_length or length)).splitlines()


def _text(task, given, card):
    return [task.generate(given)] if isinstance(given, str) else task.generate(given[None])


_ANSWERS = {
    MixerTextClassifier: _classes,
    MixerImageClassifier: _classes,
    MixerSeriesClassifier: _classes,
    MixerSpeechClassifier: _classes,
    MixerSpeechRecognizer: _text,
    MixerAudioToText: _text,
    MixerCaptioner: _text,
    MixerTagger: _tags,
    MixerStoryAnswerer: _answers,
    MixerForecaster: _steps,
    MixerCausalLM: _continuation,
    MixerSeq2SeqLM: _text,
}
