"""Models that answer in words: what each word looks at, of captions, other texts, and what is heard."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_attn import inspection
from zoo import reading
from zoo.explaining import image, layers, shares, sound, text
from zoo.explaining.cells import Cells, Given
from zoo.explanation import Explanation
from zoo.recognizer import BLANK, as_texts


class Said(NamedTuple):
    """What a model says of an input, token by token.

    Token i has the logit `(places[i], ids[i])` of the model's output. `rows` are the rows of a layer's weights that
    belong to the tokens. `at` is the layer whose output is differentiated by; None for x itself.
    """

    given: Given
    cells: Cells
    labels: tuple
    ids: np.ndarray
    places: np.ndarray
    answer: str
    weights: dict
    notes: list
    at: str | None = None

    def logits(self, outputs):
        """The tokens' logits, `(B, tokens)`, of the model's outputs `(B, T, K)`."""
        chosen = np.zeros((len(self.ids), outputs.shape[-1]), "float32")
        chosen[np.arange(len(self.ids)), self.ids] = 1.0
        at_places = ops.cast(ops.take(outputs, self.places, axis=1), "float32")
        return ops.sum(at_places * ops.convert_to_tensor(chosen), axis=-1)


def explain(model, said, method, title, at, say):
    """The `Explanation` of what was said."""
    cells, looks, parts, notes = said.cells, {}, {}, list(said.notes)
    for name, each in said.weights.items():
        look = cells.of_columns(each)
        if look is None:
            notes.append(f"Left out: the {name}, over {each.shape[2]} places, which are others.")
        else:
            looks[name] = look
    say("sensitivity")
    function, options = cells.function(model), {"at": at or said.at}
    slopes = inspection.sensitivity(
        function, cells.x, output=lambda y: said.logits(y)[..., None], reduce=None, **options
    )
    slopes = slopes[0, :, 0]  # (tokens, S, D)
    looks["sensitivity of each token"] = np.sqrt(cells.pool(np.square(slopes).sum(axis=-1)))[None]
    # What is added up has the sum of the derivatives.
    parts["sensitivity of the answer"] = np.sqrt(cells.pool(np.square(slopes.sum(axis=0)).sum(axis=-1)))

    def answer(outputs):
        return ops.sum(said.logits(outputs), axis=-1)

    name = method.replace("_", " ")
    say(name)
    found = shares.attribution(function, cells.x, output=answer, method=method, **options)
    parts[name] = cells.pool(found.map[0])
    notes.append("The answer is the sum of the logits of its tokens.")
    notes.append(shares.unexplained(name, found, "the answer"))
    return Explanation(
        said.given.kind, said.given.subject, said.answer, parts, looks, cells.grid, title, tuple(notes), said.labels
    )


def of_image(model, given):
    """A caption, word by word, and the image's regions."""
    preprocessor = _preprocessor(model)
    shape = next(each.shape[1:] for each in model.inputs if each.name == "images")
    shown = image.pixels(given, shape)
    inputs = _arrays(preprocessor.generate_preprocess(shown[None]))
    ids, inputs = _write(model, inputs, "token_ids", "padding_mask", preprocessor.tokenizer.end_token_id)
    found, notes = layers.weights(model, inputs)
    # The decoder's are (T, H, regions); the backbone's are of regions that look at each other.
    looks = {name: np.swapaxes(each, 0, 1) for name, each in found.items() if name == "weights of decoder"}
    notes += _left_out(found, looks)
    of_pixels = image.cells(model, Given("image", inputs["images"], shown), ())

    def function(model):
        return of_pixels.function(lambda x, **options: model({**sound.as_many(inputs, x), "images": x}, **options))

    cells = of_pixels._replace(function=function)
    return _said(Given("image", inputs, shown), cells, preprocessor.tokenizer, ids, looks, notes)


def of_text(model, given):
    """A text that another text becomes, token by token."""
    preprocessor = _preprocessor(model)
    reading.check_text(given)
    reading.check_known(preprocessor, given)
    inputs = _arrays(preprocessor.generate_preprocess([given]))
    count = int(inputs["encoder_padding_mask"].sum())
    if model.backbone.encoder_sequence_length is None:
        inputs |= {name: each[:, :count] for name, each in inputs.items() if name.startswith("encoder")}
    length = inputs["encoder_token_ids"].shape[1]
    ids, inputs = _write(
        model, inputs, "decoder_token_ids", "decoder_padding_mask", preprocessor.tokenizer.end_token_id
    )
    source = preprocessor.source_tokenizer or preprocessor.tokenizer
    given = Given("text", inputs, _labels(source, inputs["encoder_token_ids"][0, :count]))
    found, notes = layers.weights(model, inputs)
    looks = _readers(found)
    notes += _left_out(found, looks)
    said = _said(given, text.tokens(inputs, length, count), preprocessor.tokenizer, ids, looks, notes)
    return said._replace(at=model.backbone.encoder.embedding.tokens.path)


def of_sound(model, given):
    """A text that is written down of a sound by a decoder, token by token."""
    preprocessor = _preprocessor(model)
    given = sound.read(model, given)
    ids, inputs = _write(
        model, given.inputs, "decoder_token_ids", "decoder_padding_mask", preprocessor.tokenizer.end_token_id
    )
    given = given._replace(inputs=inputs)
    found, notes = layers.weights(model, inputs)
    looks = {name: given.of_real(each) for name, each in _readers(found).items()}
    notes += _left_out(found, looks)
    return _said(given, sound.cells(model, given), preprocessor.tokenizer, ids, looks, notes)


def of_alignment(model, given):
    """What a recogniser hears without a decoder: each symbol where it is likeliest."""
    preprocessor = _preprocessor(model)
    given = sound.read(model, given)
    logits = ops.convert_to_numpy(model(given.inputs, training=False))[0, : given.real]
    places, notes = _heard(logits), []
    ids = logits[places].argmax(axis=-1)
    answer = f"The model hears {as_texts(preprocessor.tokenizer, [ids.tolist()])[0]!r}."
    if not len(places):
        more = np.delete(logits, BLANK, axis=-1) - logits[:, BLANK, None]
        places = np.array([more.max(axis=-1).argmax()])
        ids = more[places].argmax(axis=-1)
        ids += ids >= BLANK
        answer = "The model hears nothing. Shown is the symbol that it is nearest to."
    found, notes = layers.weights(model, given.inputs)
    found |= layers.mixing(model, given.inputs)
    # Of what a layer has at all tokens the rows of those where a symbol is heard.
    looks = {name: given.of_real(each) for name, each in found.items()}
    looks = {name: each[:, places] for name, each in looks.items() if each.shape[1] == given.real}
    notes += _left_out(found, looks)
    labels = _labels(preprocessor.tokenizer, ids)
    return Said(given, sound.cells(model, given), labels, ids, places, answer, looks, notes)


def _heard(logits):
    """Where each symbol is heard, of logits `(T, K)`: of tokens in turn that say the same, the surest."""
    path = logits.argmax(axis=-1)
    starts = [0, *(1 + np.flatnonzero(np.diff(path))), len(path)]
    runs = [(start, end) for start, end in itertools.pairwise(starts) if path[start] != BLANK]
    return np.array([start + logits[start:end, path[start]].argmax() for start, end in runs], "int32")


def _write(model, inputs, ids, mask, end):
    """The likeliest token after those before it until the end, and the inputs with what was said so far."""
    said = np.array(inputs[ids])
    everywhere = np.ones_like(said)
    for place in range(1, said.shape[1]):
        # Later tokens count for nothing: they are there for the sake of few shapes, as each is compiled anew.
        width = min(said.shape[1], 2 ** math.ceil(math.log2(place)))
        logits = model({**inputs, ids: said[:, :width], mask: everywhere[:, :width]}, training=False)
        said[0, place] = ops.convert_to_numpy(logits)[0, place - 1].argmax()
        if said[0, place] == end:
            break
    return said[0, 1 : place + 1], {**inputs, ids: said[:, :place], mask: everywhere[:, :place]}


def _said(given, cells, tokenizer, ids, looks, notes):
    """Tokens whose logits stand one after another."""
    words = tokenizer.detokenize([each for each in ids.tolist() if each not in tokenizer.special_token_ids])
    answer = f"The model says {words!r}: the likeliest token each time."
    notes = [*notes, "Each token is explained with those before it given: what it owes to them is not shown."]
    return Said(given, cells, _labels(tokenizer, ids), ids, np.arange(len(ids)), answer, looks, notes)


def _readers(found):
    """The weights by which a decoder's layers read the source, by the number of the layer if there are several."""
    readers = [each for name, each in found.items() if name.split("/")[-1].endswith("reader")]
    if len(readers) == 1:
        return {"weights of the reader": readers[0]}
    return {f"weights of the reader of layer {index}": each for index, each in enumerate(readers)}


def _left_out(found, looks):
    count = len(found) - len(looks)
    return [f"Left out: the weights of {count} layers over other places than those shown."] if count else []


def _labels(tokenizer, ids):
    """A word for each id; blanks would not be seen."""
    tokens = [tokenizer.id_to_token(int(each)) for each in ids]
    return tuple(token if token.strip() else "␣" for token in tokens)


def _preprocessor(model):
    if getattr(model, "preprocessor", None) is None:
        raise ValueError("A model that answers in words is explained with its preprocessor. Received: one without")
    return model.preprocessor


def _arrays(inputs):
    return {name: np.asarray(ops.convert_to_numpy(each)) for name, each in inputs.items()}
