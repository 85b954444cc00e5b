"""What a trained model looks at on one input, whatever it attends with."""

import inspect
import math
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_attn import inspection
from keras_attn._figure import ENDINGS, check_path
from keras_attn.inspection.attribution import METHODS
from keras_attn.inspection.page import ENDINGS as PAGES
from keras_attn.inspection.pictures.image import grid_of
from keras_attn.inspection.weights import ASKING
from keras_attn.lookup import choose, whole_number
from zoo import reading
from zoo.explanation import Explanation

#: The most positions that a picture or a series is cut into, along each side and in all.
SIDE, SPANS = 16, 64
#: The most backward passes that are made to see what every position looks at.
PASSES = 2**14


def explain(model, given, out=None, output=None, method="integrated_gradients", at=None, say=lambda step: None):
    """What a model looks at when it answers: weights, if it computes any, and sensitivities and shares in any case.

    - of every layer that computes weights over the positions, these;
    - the sensitivity of the last vectors that the model has at each position, as a norm, for whatever attends without
      weights;
    - what each position adds to the answer, and the norm of the answer's derivative by each.

    A text is explained by its word pieces; an image by the cells, and a series by the spans, that the model's weights
    stand over, or else by at most 16 x 16 cells and 64 spans.

    Args:
        model: a preset's name, a directory that `save` wrote, the path of a `.keras` file, or a Keras model. Classes
            other than those of keras, keras_hub, keras_attn, zoo and tuning are refused in files.
        given: a text, for models that take texts; otherwise an array without its batch axis, or the path of a file: an
            image (.png, .jpg, .bmp, .gif, .webp; numbers from 0 to 255 for models without a preprocessor), or numbers
            (.npy, .csv): a series `(T,)` or `(T, C)`, an image, or whole numbers, `(T,)`, for models of those.
        out: where to write: .html for a page on which one moves over a position, .png, .svg or .pdf for a picture; None
            for nowhere.
        output: number of the output that is explained; None for the largest.
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
    title = model.name if isinstance(model, keras.Model) else Path(str(model)).name
    if not isinstance(model, keras.Model):
        reading.check_model(model)
        say("loading the model")
        model = reading.read_model(model)
    found = _explain(model, given, output, method, at, title, say)
    if out is not None:
        say("writing")
        found.save(out)
    return found


def _explain(model, given, output, method, at, title, say):
    kind, inputs, subject = _inputs(model, given)
    say("asking the model")
    answers = model(inputs, training=False)
    if isinstance(answers, (list, tuple, dict)) or len(answers.shape) not in (2, 3):
        raise ValueError("A model is explained that has one output, (B, C) or (B, T, C). Received: another")
    answers = ops.convert_to_numpy(answers)[0]
    output, answer = _answer(answers, output)

    say("weights")
    looks, notes = _weights(model, inputs, subject, kind)
    grid = _grid(model, kind, subject, looks)
    count = len(subject) if kind == "text" else grid[0] * grid[1]
    for name in [name for name, each in looks.items() if each.shape[2] != count or each.shape[1] not in (1, count)]:
        notes.append(f"Left out: the weights of {name}, over {looks.pop(name).shape[2]} places, which are others.")

    # Pixels and times are positions of their own while they are differentiated by, and counted together afterwards.
    if kind == "image":
        function, x, pool = _by_pixels(model, inputs), inputs.reshape(1, -1, inputs.shape[-1]), _pooling(subject, grid)
    else:
        function, x = (lambda end: end), inputs
        pool = _pooling(np.zeros((1, len(subject))), grid) if kind == "series" else (lambda each: each)
    options = {} if kind == "image" else {"at": at}
    parts = {}
    say("sensitivity")
    states = _states(model, inputs)
    if states is not None:
        # Of a model that answers at each position these are the answers.
        channel = output if answers.ndim == 2 else None
        look = inspection.sensitivity(function(states), x, output=channel, **options)[0]  # (T, S)
        looks["sensitivity of each position"] = _by_rows(np.sqrt(pool(look**2)), count)[None]
    elif answers.ndim == 1:
        notes.append("Left out: the sensitivity of each position: no layer with vectors of positions is in reach.")
    if answers.ndim == 1:
        slopes = inspection.sensitivity(function(model), x, output=output, **options)[0]
        parts["sensitivity of the answer"] = np.sqrt(pool(slopes**2))
        say(method.replace("_", " "))
        shares = inspection.attribution(function(model), x, output=output, method=method, **options)
        parts[method.replace("_", " ")] = pool(shares.map[0])
        notes.append(f"The shares of {method.replace('_', ' ')} leave {shares.gap[0]:.3g} of the answer unexplained.")
    return Explanation(kind, subject, answer, parts, looks, grid if kind == "image" else None, title, tuple(notes))


def _answer(answers, output):
    """Which output is explained, and what the model said, in words."""
    count = answers.shape[-1]
    if output is not None and output >= count:
        raise ValueError(f"The model has {count} outputs, from 0. Received: output={output}")
    if answers.ndim == 2:
        return output, f"The model answers with {count} numbers at each of {len(answers)} positions."
    best = int(answers.argmax())
    output = best if output is None else output
    if count == 1:
        return output, f"The model answers {answers[0]:.3g}."
    largest = ", the largest" if output == best else f"; the largest is {best}: {answers[best]:.3g}"
    return output, f"Output {output} of {count}: {answers[output]:.3g}{largest}."


def _inputs(model, given):
    """Kind, inputs with a batch axis, and what is shown: labels, an image `(H, W, C)` or a series `(T, C)`."""
    preprocessor = getattr(model, "preprocessor", None)
    if getattr(preprocessor, "tokenizer", None) is not None:
        return _text(model, preprocessor, given)
    shape = model.input_shape
    if isinstance(shape, (list, dict)):
        raise ValueError(
            "A model without a preprocessor is explained if it has one input: the number of each word, a series "
            f"or an image. Received: inputs of shapes {shape}"
        )
    if isinstance(given, str) and not reading.is_file(given):
        raise ValueError(f"The model takes no texts: name a file of an image or of numbers. Received: {given[:40]!r}")
    if len(shape) == 4:
        return _image(preprocessor, given, shape[1:])
    numbers = reading.read_numbers(given) if reading.is_file(given) else np.asarray(given)
    if len(shape) == 2 and keras.backend.is_int_dtype(model.inputs[0].dtype):
        return _ids(numbers, shape[1])
    if len(shape) != 3:
        raise ValueError(f"A model of texts, images or series is explained. Received: a model of inputs {shape}")
    series = numbers.astype("float32")
    series = series[:, None] if series.ndim == 1 else series
    if series.ndim != 2 or any(want not in (None, size) for want, size in zip(shape[1:], series.shape)):
        raise ValueError(f"The model takes series of shape {shape[1:]}. Received: an array of shape {series.shape}")
    return "series", series[None], series


def _text(model, preprocessor, given):
    if not isinstance(given, str) or reading.is_file(given) or not given.strip():
        raise ValueError(f"The model takes a text. Received: {given!r}")
    packed = {name: ops.convert_to_numpy(each) for name, each in preprocessor([given]).items()}
    count = int(packed["padding_mask"][0].sum())
    # Padding behind the text is left away where the model takes any length: it plays no part.
    length = getattr(model.backbone, "sequence_length", None)
    packed = {name: each[:, :count] for name, each in packed.items()} if length is None else packed
    ids = packed["token_ids"][0]
    return "text", packed, tuple(preprocessor.tokenizer.id_to_token(int(each)) for each in ids)


def _ids(numbers, length):
    numbers = numbers.reshape(-1)
    if (numbers != numbers.astype("int32")).any() or length not in (None, len(numbers)):
        raise ValueError(f"The model takes {length or 'any number of'} whole numbers. Received: {len(numbers)} numbers")
    return "text", numbers.astype("int32")[None], tuple(str(int(each)) for each in numbers)


def _image(preprocessor, given, shape):
    if reading.is_file(given):
        image = reading.read_image(given, shape)
    else:
        image = reading.as_image(np.asarray(given, dtype="float32"), shape)
    inputs = image[None] if preprocessor is None else ops.convert_to_numpy(preprocessor(image[None]))
    return "image", np.asarray(inputs, dtype="float32"), image


def _weights(model, inputs, subject, kind):
    """Weights `(H, T, S)` by layer, and what is to be said about them."""
    if not any(ASKING in inspect.signature(layer.call).parameters for layer in model._flatten_layers()):
        return {}, ["No layer of the model computes weights: what it looks at is seen by its derivatives alone."]
    found, notes = {}, []
    for name, each in inspection.weights(model, inputs).items():
        if isinstance(each, np.ndarray) and each.ndim in (3, 4) and len(each) == 1:
            found[f"weights of {name}"] = each[0] if each.ndim == 4 else each
        else:
            notes.append(f"Left out: the weights of {name}, which are not those of a row of positions.")
    return found, notes


def _grid(model, kind, subject, looks):
    """Rows and columns that positions are shown in; None for a text."""
    if kind == "text":
        return None
    counts = [each.shape[2] for each in looks.values()]
    if kind == "series":
        fitting = [count for count in counts if count <= min(len(subject), 4 * SPANS)]
        return 1, fitting[0] if fitting else min(len(subject), SPANS)
    high, wide = subject.shape[:2]
    patch = getattr(getattr(model, "backbone", None), "patch_size", None)
    if patch is not None:
        return high // patch, wide // patch
    for count in counts:
        try:
            return grid_of(count, high, wide)
        except ValueError:
            continue
    return min(high, SIDE), min(wide, SIDE)


def _pooling(subject, grid):
    """A function that adds up, of the last axis, all that falls into a cell: `(..., N)` to `(..., cells)`."""
    size = subject.shape[:2]
    row, column = (np.arange(length) * cells // length for length, cells in zip(size, grid))
    cell = (row[:, None] * grid[1] + column).ravel()

    def pool(values):
        found = np.zeros((*values.shape[:-1], math.prod(grid)), dtype=values.dtype)
        np.add.at(found, (..., cell), values)
        return found

    return pool


def _by_rows(look, count):
    """`(T, cells)` to `(cells, cells)`: of all positions that fall into a cell the root of the sum of squares."""
    if len(look) == count:
        return look
    found = np.zeros((count, count), dtype=look.dtype)
    np.add.at(found, np.arange(len(look)) * count // len(look), look**2)
    return np.sqrt(found)


def _by_pixels(model, inputs):
    """A function from a model of images to one of their pixels, `(B, H W, C)`."""
    shape = inputs.shape[1:]

    def of(model):
        return lambda x, **options: model(ops.reshape(x, (-1, *shape)), **options)

    return of


def _states(model, inputs):
    """The model up to the last layer that has a vector at each position; None if there is none of a size in reach."""
    if not isinstance(model, keras.Model) or not hasattr(model, "layers") or not getattr(model, "inputs", None):
        return None
    for layer in reversed(model.layers):
        try:
            symbolic = layer.output
        except (AttributeError, ValueError):
            continue
        if isinstance(symbolic, keras.KerasTensor) and len(symbolic.shape) == 3:
            states = keras.Model(model.input, symbolic)
            shape = states(inputs, training=False).shape
            return states if shape[1] > 1 and shape[1] * shape[2] <= PASSES else None
    return None
