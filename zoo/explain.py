"""What a trained model looks at on one input, whatever it attends with."""

import contextlib
import inspect
from pathlib import Path
from typing import NamedTuple

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

    - of every layer that computes weights over the positions, these; of every one without that mixes linearly once its
      gates are known, the mean size of its mixing matrix over the channels;
    - the sensitivity of the last vectors that the model has at each position, as a norm, for whatever attends without
      weights;
    - what each position adds to the answer, and the norm of the answer's derivative by each.

    A text is explained by its tokens; an image by the cells, and a series by the spans, that the model's weights stand
    over, or else by at most 16 x 16 cells and 64 spans. The answer of a language model is the token that comes next.

    Args:
        model: a preset's name, a directory that `save` wrote, the path of a `.keras` file, or a Keras model. Classes
            other than those of keras, keras_hub, keras_attn, zoo and tuning are refused in files.
        given: a text, for models that take texts (one that ends like a file's name is taken for that); otherwise an
            array without its batch axis, or the path of a file: an image (.png, .jpg, .bmp, .gif, .webp; numbers from 0
            to 255 for models without a preprocessor), or numbers (.npy, .csv): a series `(T,)` or `(T, C)`, an image,
            or whole numbers, `(T,)`, for models of those.
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
    whole, names = model, None
    if hasattr(model, "next_token"):
        # Of a language model it is explained what comes next.
        model, names = model.next_token(), model.preprocessor.tokenizer.id_to_token
    say("asking the model")
    answers = model(inputs, training=False)
    if isinstance(answers, (list, tuple, dict)) or len(answers.shape) not in (2, 3):
        raise ValueError("A model is explained that has one output, (B, C) or (B, T, C). Received: another")
    answers = ops.convert_to_numpy(answers)[0]
    output, answer = _answer(answers, output, names)

    say("weights")
    found, notes = _weights(model, inputs)
    found |= _mixing(model, inputs)
    states, length = _states(model, inputs)
    cells = _cells(whole, kind, inputs, subject, [each.shape[2] for each in found.values()] + [length])
    looks = {}
    for name, each in found.items():
        look = cells.of_weights(each)
        if look is None:
            notes.append(f"Left out: the {name}, over {each.shape[2]} places, which are others.")
        else:
            looks[name] = look

    say("sensitivity")
    options, parts = ({} if kind == "image" else {"at": at}), {}
    if states is not None and cells.can_pool_rows(length):
        # Of a model that answers at each position these are the answers.
        channel = output if answers.ndim == 2 else None
        look = inspection.sensitivity(cells.function(states), cells.x, output=channel, **options)[0]  # (T, S)
        looks["sensitivity of each position"] = np.sqrt(cells.pool_rows(cells.pool(look**2)))[None]
    else:
        notes.append("Left out: the sensitivity of each position: no layer with vectors of positions is in reach.")
    if answers.ndim == 1:
        function, name = cells.function(model), method.replace("_", " ")
        slopes = inspection.sensitivity(function, cells.x, output=output, **options)[0]
        parts["sensitivity of the answer"] = np.sqrt(cells.pool(slopes**2))
        say(name)
        shares = inspection.attribution(function, cells.x, output=output, method=method, **options)
        parts[name] = cells.pool(shares.map[0])
        notes.append(f"The shares of {name} leave {shares.gap[0]:.3g} of the answer unexplained.")
    return Explanation(kind, subject, answer, parts, looks, cells.grid, title, tuple(notes))


class _Cells(NamedTuple):
    """The positions that are shown, and what is differentiated by: pixels and times, of which cells are made later.

    `x` is what `function(model)` takes instead of the model's inputs; `cell` is the cell of each position of x, or -1
    for padding, which is none.
    """

    count: int
    grid: tuple | None
    x: object
    function: object
    cell: np.ndarray

    def pool(self, values):
        """Adds up, of the last axis, all that falls into a cell: `(..., N)` to `(..., cells)`."""
        found = np.zeros((*values.shape[:-1], self.count), dtype=values.dtype)
        np.add.at(found, (..., self.cell[self.cell >= 0]), values[..., self.cell >= 0])
        return found

    def can_pool_rows(self, length):
        return length == self.count or self.grid is None

    def pool_rows(self, look):
        """`(T, cells)` to `(cells, cells)`: rows of a cell are added up; if the layer has others, the nearest."""
        length = len(look)
        if length == len(self.cell):
            return self.pool(look.T).T
        return look[np.arange(self.count) * length // self.count]

    def of_weights(self, weights):
        """Weights over the cells as they are, without padding; None if they are over other places."""
        rows, columns = weights.shape[1:]
        real = self.cell >= 0
        if columns == len(real) and real.sum() == self.count and rows in (1, len(real)):
            return weights[:, :, real] if rows == 1 else weights[:, real][:, :, real]
        return weights if columns == self.count and rows in (1, self.count) else None


def _cells(model, kind, inputs, subject, lengths):
    """Cells of the kind's subject that fit the first of these lengths that can be shown."""
    if kind == "text":
        length = inputs["token_ids"].shape[1] if isinstance(inputs, dict) else inputs.shape[1]
        # Padding is behind the text.
        cell = np.where(np.arange(length) < len(subject), np.arange(length), -1)
        return _Cells(len(subject), None, inputs, lambda model: model, cell)
    if kind == "series":
        length = len(subject)
        fitting = [count for count in lengths if 1 < count <= min(length, 4 * SPANS)]
        count = fitting[0] if fitting else min(length, SPANS)
        return _Cells(count, None, inputs, lambda model: model, np.arange(length) * count // length)
    shape = inputs.shape[1:]
    grid = _grid(model, shape, lengths)
    row, column = (np.arange(length) * cells // length for length, cells in zip(shape[:2], grid))

    def of_pixels(model):
        return lambda x, **options: model(ops.reshape(x, (-1, *shape)), **options)

    cell = (row[:, None] * grid[1] + column).ravel()
    return _Cells(grid[0] * grid[1], grid, inputs.reshape(1, -1, shape[-1]), of_pixels, cell)


def _grid(model, shape, lengths):
    """Rows and columns of an image: the model's patches, or those that its layers stand over, or as many as can be."""
    high, wide = shape[:2]
    patch = getattr(getattr(model, "backbone", None), "patch_size", None)
    if patch is not None:
        return high // patch, wide // patch
    for length in lengths:
        if 1 < length <= high * wide:
            with contextlib.suppress(ValueError):
                return grid_of(length, high, wide)
    return min(high, SIDE), min(wide, SIDE)


def _answer(answers, output, names=None):
    """Which output is explained, and what the model said, in words; `names` gives an output's token, if it has one."""
    count = answers.shape[-1]
    if output is not None and output >= count:
        raise ValueError(f"The model has {count} outputs, from 0. Received: output={output}")
    if answers.ndim == 2:
        return output, f"The model answers with {count} numbers at each of {len(answers)} positions."
    best = int(answers.argmax())
    output = best if output is None else output
    if count == 1:
        return output, f"The model answers {answers[0]:.3g}."
    name = (lambda index: f" ({names(index)!r})") if names else lambda index: ""
    largest = ", the largest" if output == best else f"; the largest is {best}{name(best)}: {answers[best]:.3g}"
    return output, f"Output {output}{name(output)} of {count}: {answers[output]:.3g}{largest}."


def _inputs(model, given):
    """Kind, inputs with a batch axis, and what is shown: labels, an image `(H, W, C)` or a series `(T, C)`."""
    preprocessor = getattr(model, "preprocessor", None)
    if getattr(preprocessor, "tokenizer", None) is not None:
        return _text(model, preprocessor, given)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
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
    # Of a longer series the preprocessor keeps the last steps.
    series = series[-(getattr(preprocessor, "sequence_length", None) or 0) :]
    if series.ndim != 2 or any(want not in (None, size) for want, size in zip(shape[1:], series.shape)):
        raise ValueError(f"The model takes series of shape {shape[1:]}. Received: an array of shape {series.shape}")
    return "series", series[None] if preprocessor is None else np.asarray(preprocessor(series[None])), series


def _text(model, preprocessor, given):
    if not isinstance(given, str) or reading.is_file(given) or not given.strip():
        raise ValueError(f"The model takes a text. Received: {given!r}")
    # A prompt has no end, and is no pair of inputs and labels.
    pack = getattr(preprocessor, "generate_preprocess", preprocessor)
    packed = {name: ops.convert_to_numpy(each) for name, each in pack([given]).items()}
    count = int(packed["padding_mask"][0].sum())
    # Padding plays no part: where the model takes any length it is left away.
    length = getattr(model.backbone, "sequence_length", None)
    packed = {name: each[:, :count] for name, each in packed.items()} if length is None else packed
    ids = packed["token_ids"][0, :count]
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


def _weights(model, inputs):
    """Weights `(H, T, S)` by name, and what is to be said about them."""
    if not any(ASKING in inspect.signature(layer.call).parameters for layer in model._flatten_layers()):
        return {}, ["No layer of the model computes weights: what it looks at is seen by its derivatives alone."]
    found, notes = {}, []
    for name, each in inspection.weights(model, inputs).items():
        if isinstance(each, np.ndarray) and each.ndim in (3, 4) and len(each) == 1:
            found[f"weights of {name}"] = each[0] if each.ndim == 4 else each
        else:
            notes.append(f"Left out: the weights of {name}, which are not those of a row of positions.")
    return found, notes


def _mixing(model, inputs):
    """Of layers without weights the mean size of their mixing matrices, `(1, T, S)`, by name; of some there is none."""
    with contextlib.suppress(ValueError):
        matrices = inspection.implicit_weights(model, inputs)
        return {f"mixing of {name}": np.abs(each.matrix).mean(axis=1) for name, each in matrices.items()}
    return {}


def _states(model, inputs):
    """The model up to the last layer with a vector at each position, and how many; None and 0 if none is in reach."""
    if not getattr(model, "inputs", None):
        return None, 0
    for layer in reversed(model.layers):
        # What was never called, or several times, has no output of its own.
        symbolic = getattr(layer, "output", None) if layer._inbound_nodes else None
        if isinstance(symbolic, keras.KerasTensor) and len(symbolic.shape) == 3:
            states = keras.Model(model.input, symbolic)
            _, length, width = states(inputs, training=False).shape
            return (states, length) if length > 1 and length * width <= PASSES else (None, 0)
    return None, 0
