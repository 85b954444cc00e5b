"""What a trained model looks at on one input, whatever it attends with."""

import contextlib
import functools
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from keras_attn._figure import ENDINGS, check_path
from keras_attn.inspection.attribution import METHODS
from keras_attn.inspection.page import ENDINGS as PAGES
from keras_attn.lookup import choose, whole_number
from zoo import reading
from zoo.explaining import image, layers, said, series, shares, sound, story, text
from zoo.explanation import Explanation

#: What makes cells of each kind of input.
CELLS = {
    "text": text.cells,
    "image": image.cells,
    "series": series.cells,
    "sound": sound.cells,
    "story": story.cells,
}
#: What finds the words that a model answers with, by names of its inputs.
SAYING = {
    frozenset({"images", "token_ids", "padding_mask"}): said.of_image,
    frozenset({"encoder_token_ids", "encoder_padding_mask", "decoder_token_ids", "decoder_padding_mask"}): said.of_text,
    frozenset({"frames", "padding_mask", "decoder_token_ids", "decoder_padding_mask"}): said.of_sound,
}
SOUND = frozenset({"frames", "padding_mask"})
STORY = frozenset({"story", "question"})
TOLD = frozenset({"series", "ahead"})


def explain(model, given, out=None, output=None, method="integrated_gradients", at=None, say=lambda step: None):
    """What a model looks at when it answers: weights, if it computes any, and sensitivities and shares in any case.

    - of every layer that computes weights over the positions, these; of every one without that mixes linearly once its
      gates are known, the mean size of its mixing matrix over the channels; of a reader of an image that looks in
      glimpses, how much of each glimpse each patch makes up;
    - the sensitivity of the last vectors that the model has at each position, as a norm, for whatever attends without
      weights;
    - what each position adds to the answer, and the norm of the answer's derivative by each. Of a forecast: to its
      mean over the steps ahead, of one channel or of all.

    A text is explained by its tokens; an image by the cells, and a series by the spans, that the model's weights stand
    over, or else by at most 16 x 16 cells and 64 spans; a sound by the spans of frames that the model's tokens stand
    for. The answer of a language model is the token that comes next. A question about a story is explained by the
    sentences of the story, if the model has a memory of them, or else by all words.

    A model that answers in words (captions, texts that others become, what is heard) is explained word by word: by the
    weights with which its decoder reads the input, if it computes any, and by the derivative of each word's logit. The
    words are the likeliest each time, whatever the model's sampler. Of a recogniser without a decoder they are its
    symbols, each at the token where it is surest.

    Args:
        model: a preset's name, a directory that `save` wrote, the path of a `.keras` file, or a Keras model. Classes
            other than those of keras, keras_hub, keras_attn, zoo and tuning are refused in files.
        given: a text, for models that take texts (one that ends like a file's name is taken for that); otherwise an
            array without its batch axis, or the path of a file: an image (.png, .jpg, .bmp, .gif, .webp; numbers from 0
            to 255 for models without a preprocessor), a sound (.wav of 16 bits, at the model's sample rate), or numbers
            (.npy, .csv): a series `(T,)` or `(T, C)`, an image, samples or frames of a sound, or whole numbers, `(T,)`,
            for models of those. For models of stories a text that ends with the question, or a pair of a list of
            sentences and a question. For a forecaster that is told what is known ahead a series whose last rows are
            the steps that it forecasts, with what is known of them filled in and all else NaN, or a dict of arrays,
            `"series"` and `"ahead"`; what is known is held as it is.
        out: where to write: .html for a page on which one moves over a position, .png, .svg or .pdf for a picture; None
            for nowhere.
        output: number of the output that is explained; None for the largest, and for models that answer in words.
        method: how shares are found: see `keras_attn.inspection.attribution`.
        at: name of the layer whose output stands for the words, if the model has not one embedding.
        say: a function that is told each step, in words.

    Returns:
        An `Explanation`.

    Raises:
        ValueError, FileNotFoundError: if there is no such model or file, or no folder to write into: before the model
            is loaded. If the input is none that the model takes: before it is explained.

    Example:
    >>> found = explain("mixer_multi_head_sst2", "not bad", method="gradient_x_input")
    >>> found.kind, found.subject
    ('text', ('[CLS]', 'not', 'bad', '[SEP]'))
    """
    check_path(out, (*PAGES, *ENDINGS))
    choose("method", method, METHODS)
    whole_number("output", output, least=0, optional=True)
    reading.check_input(given)
    reading.check_output(out, given)
    title, card = model.name if isinstance(model, keras.Model) else Path(str(model)).name, {}
    if not isinstance(model, keras.Model):
        reading.check_model(model)
        say("loading the model")
        model, card = reading.read_model(model), reading.read_card(model)
    explained = _explain_words if _sayer(model) else functools.partial(_explain, card=card)
    found = explained(model, given, output, method, at, title, say)
    if out is not None:
        say("writing")
        found.save(out)
    return found


def _explain(model, given, output, method, at, title, say, card):
    given = _read(model, given)
    kind, inputs = given.kind, given.inputs
    whole, names = model, reading.class_names(card)
    title = f"{title}: {given.asked}" if given.asked else title
    if hasattr(model, "next_token"):
        # Of a language model it is explained what comes next.
        model, names = model.next_token(), model.preprocessor.tokenizer.get_vocabulary()
    elif kind == "story":
        names = model.preprocessor.tokenizer.get_vocabulary()
    say("asking the model")
    answers = model(inputs, training=False)
    if isinstance(answers, (list, tuple, dict)) or len(answers.shape) not in (2, 3):
        raise ValueError("A model is explained that has one output, (B, C) or (B, T, C). Received: another")
    answers = ops.convert_to_numpy(answers)
    if not answers.size or not np.isfinite(answers).all():
        raise ValueError(
            "The model must answer with finite numbers. Received: an input to which it does not; it may be empty, hold "
            "numbers that are not finite, or words of numbers that the model does not know"
        )
    # Numbers of own data were learnt in another unit than they are asked for.
    unit, zero = reading.unit(card) or (1.0, 0.0)
    answers = answers[0] * unit + zero
    # The steps ahead stand at no positions, though they may be as many.
    foretells = getattr(model, "horizon", None) is not None
    output, answer = _answer(answers, output, names)
    answer = f"The model forecasts {answers.size} numbers, {answers.shape[1]} a step." if foretells else answer

    say("weights")
    found, notes = layers.weights(model, inputs)
    found |= layers.mixing(model, inputs) | layers.glimpses(model, inputs)
    found = {name: given.of_real(each) for name, each in found.items()}
    states, length = (None, 0) if foretells else layers.states(model, inputs)
    cells = CELLS[kind](whole, given, [each.shape[2] for each in found.values()] + [length])
    looks = {}
    for name, each in found.items():
        look = cells.of_weights(each)
        if look is None:
            notes.append(f"Left out: the {name}, over {each.shape[2]} places, which are others.")
        else:
            looks[name] = look

    say("sensitivity")
    options, parts = {"at": at or given.at} if kind in ("text", "series") else {}, {}
    if states is not None and cells.can_pool_rows(length):
        # Of a model that answers at each position these are the answers.
        channel = output if answers.ndim == 2 else None
        look = inspection.sensitivity(cells.function(states), cells.x, output=channel, **options)[0]  # (T, S)
        look = look[: given.real or None]
        looks["sensitivity of each position"] = np.sqrt(cells.pool_rows(cells.pool(look**2)))[None]
    elif not foretells:
        notes.append("Left out: the sensitivity of each position: no layer with vectors of positions is in reach.")
    if foretells and given.at and not np.isnan(given.subject).any():
        # What a forecast starts from goes around the layer that standardises.
        options = {"at": at}
    if answers.ndim == 1 or foretells:
        parts, unexplained = _divide(model, cells, output, foretells, method, options, say, unit)
        notes.append(unexplained)
    return Explanation(kind, given.subject, answer, parts, looks, cells.grid, title, tuple(notes))


def _divide(model, cells, output, foretells, method, options, say, unit):
    """How far an answer depends on each cell, and what each adds to it; and what that leaves unexplained, in words.

    In the answer's unit: so much of it is one of the model's.
    """
    function, name = cells.function(model), method.replace("_", " ")
    answer, whole = ("answer", output) if not foretells else ("forecast", _mean_of(output))
    slopes = inspection.sensitivity(function, cells.x, output=output, **options)[0]  # (S,), or (horizon, S)
    squares = np.sum(np.atleast_2d(slopes) ** 2, axis=0)
    say(name)
    found = shares.attribution(function, cells.x, output=whole, method=method, **options)
    parts = {f"sensitivity of the {answer}": np.sqrt(cells.pool(squares)), name: cells.pool(found.map[0])}
    parts = {name: unit * part for name, part in parts.items()}
    divided = "the mean of the forecast's steps" if foretells else "the answer"
    return parts, shares.unexplained(name, found, divided, unit)


def _mean_of(output):
    """What makes one number of a forecast, `(B, horizon, C)`: the mean over its steps, of one channel or of all."""
    return lambda answers: ops.mean(answers if output is None else answers[..., output : output + 1], axis=(1, 2))


def _answer(answers, output, names=None):
    """Which output is explained, and what the model said, in words; `names` are the outputs', if they have any."""
    count = answers.shape[-1]
    if output is not None and output >= count:
        raise ValueError(f"The model has {count} outputs, from 0. Received: output={output}")
    if answers.ndim == 2:
        return output, f"The model answers with {count} numbers at each of {len(answers)} positions."
    best = int(answers.argmax())
    output = best if output is None else output
    if count == 1:
        return output, f"The model answers {answers[0]:.3g}."

    def name(index):
        return f" ({names[index]!r})" if names and index < len(names) else ""

    largest = ", the largest" if output == best else f"; the largest is {best}{name(best)}: {answers[best]:.3g}"
    return output, f"Output {output}{name(output)} of {count}: {answers[output]:.3g}{largest}."


def _sayer(model):
    """What finds the words that a model answers with; None if it does not answer in words."""
    names = _names(model)
    if names == SOUND and len(model.outputs) == 1 and len(model.outputs[0].shape) == 3:
        return said.of_alignment
    return SAYING.get(names)


def _names(model):
    """The names of a model's inputs, if it has any."""
    with contextlib.suppress(AttributeError, ValueError):
        return frozenset(each.name for each in model.inputs or ())
    return frozenset()


def _explain_words(model, given, output, method, at, title, say):
    if output is not None:
        raise ValueError(
            f"Of a model that answers in words each word is explained: leave out `output`. Received: output={output}"
        )
    say("asking the model")
    return said.explain(model, _sayer(model)(model, given), method, title, at, say)


def _embeds(model):
    """Whether it looks numbers up, as those of words, which Keras gives to a model as floats if it is not told."""
    return any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())


def _words_known(model):
    """How many words a model's embedding has; None if it has not exactly one."""
    tables = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    return tables[0].input_dim if len(tables) == 1 else None


def _read(model, given):
    """What a model answers to with one row of numbers, or one at each position, as `Given`."""
    preprocessor = getattr(model, "preprocessor", None)
    if _names(model) == STORY:
        return story.read(model, preprocessor, given)
    if getattr(preprocessor, "tokenizer", None) is not None:
        return text.read(model, preprocessor, given)
    if _names(model) == SOUND:
        return sound.read(model, given)
    if _names(model) == TOLD:
        shapes = {each.name: tuple(each.shape) for each in model.inputs}
        return series.read_told(model, given if isinstance(given, dict) else _numbers(given), shapes)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        raise ValueError(
            "A model without a preprocessor is explained if it has one input: the number of each word, a series "
            f"or an image. Received: inputs of shapes {shape}"
        )
    if len(shape) == 4:
        return image.read(preprocessor, _no_text(given), shape[1:])
    numbers = _numbers(given)
    if len(shape) == 2 and (keras.backend.is_int_dtype(model.inputs[0].dtype) or _embeds(model)):
        return text.read_ids(numbers, shape[1], _words_known(model))
    if len(shape) == 2:
        return series.read_plain(numbers, shape)
    if len(shape) != 3:
        raise ValueError(f"A model of texts, images or series is explained. Received: a model of inputs {shape}")
    return series.read(model, preprocessor, numbers, shape)


def _numbers(given):
    """An array, as it is or from a file."""
    return reading.read_numbers(given) if reading.is_file(_no_text(given)) else np.asarray(given)


def _no_text(given):
    """What is given, if it is no text but that which names a file."""
    if isinstance(given, str) and not reading.is_file(given):
        raise ValueError(f"The model takes no texts: name a file of an image or of numbers. Received: {given[:40]!r}")
    return given
