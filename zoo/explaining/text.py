"""Texts, and rows of whole numbers: what is shown are tokens."""

import numpy as np
from keras import ops

from zoo import reading
from zoo.explaining.cells import Cells, Given


def read(model, preprocessor, given):
    reading.check_text(given)
    reading.check_known(preprocessor, given)
    # A prompt has no end, and is no pair of inputs and labels.
    pack = getattr(preprocessor, "generate_preprocess", preprocessor)
    packed = {name: ops.convert_to_numpy(each) for name, each in pack([given]).items()}
    count = int(packed["padding_mask"][0].sum())
    # Padding plays no part: where the model takes any length it is left away.
    length = getattr(model.backbone, "sequence_length", None)
    packed = {name: each[:, :count] for name, each in packed.items()} if length is None else packed
    ids = packed["token_ids"][0, :count]
    return Given("text", packed, tuple(preprocessor.tokenizer.id_to_token(int(each)) for each in ids))


def read_ids(numbers, length, known=None):
    """Whole numbers, each below `known` if that is so: an embedding has so many rows."""
    numbers = numbers.reshape(-1)
    if length not in (None, len(numbers)):
        raise ValueError(f"The model takes {length} whole numbers. Received: {len(numbers)} numbers")
    low, high = (0, known) if known is not None else (-(2**31), 2**31)
    fitting = np.isfinite(numbers) & (numbers >= low) & (numbers < high) & (numbers == np.floor(numbers))
    if not fitting.all():
        raise ValueError(
            "The model takes whole numbers" + (f" from 0 to {known - 1}" if known is not None else "") + ". "
            f"Received: {numbers[~fitting][0]} among them"
        )
    return Given("text", numbers.astype("int32")[None], tuple(str(int(each)) for each in numbers))


def cells(model, given, lengths=()):
    length = given.inputs["token_ids"].shape[1] if isinstance(given.inputs, dict) else given.inputs.shape[1]
    return tokens(given.inputs, length, len(given.subject))


def tokens(inputs, length, count):
    """Cells of the first `count` of `length` tokens: padding is behind the text."""
    cell = np.where(np.arange(length) < count, np.arange(length), -1)
    return Cells(count, None, inputs, lambda model: model, cell)
