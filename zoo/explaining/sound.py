"""Sounds: what is shown are spans of frames, as many as the model has tokens."""

import numpy as np
from keras import ops

from zoo import reading
from zoo.explaining.cells import SPANS, Cells, Given


def read(model, given):
    """A sound's frames, from a wave or as they are, standardised as the model wants them."""
    preprocessor, heard = getattr(model, "preprocessor", None), recording(model, given)
    channels = _channels(model)
    if preprocessor is None:
        packed = {"frames": heard[None].astype("float32"), "padding_mask": np.ones((1, len(heard)), "int32")}
    else:
        packed = getattr(preprocessor, "generate_preprocess", preprocessor)([heard])
        packed = {name: ops.convert_to_numpy(each) for name, each in packed.items()}
    backbone = getattr(model, "backbone", None)
    count, subsampling = int(packed["padding_mask"].sum()), getattr(backbone, "subsampling", 1)
    # Padding plays no part: where the model takes any length it is left away.
    if getattr(backbone, "sequence_length", None) is None:
        packed |= {name: packed[name][:, :count] for name in ("frames", "padding_mask")}
    frames = packed["frames"]
    if frames.shape[-1] != channels:
        raise ValueError(f"The model takes frames of {channels} numbers. Received: of {frames.shape[-1]}")
    return Given("sound", packed, frames[0, :count], -(-frames.shape[1] // subsampling), -(-count // subsampling))


def _channels(model):
    return next(each.shape[-1] for each in model.inputs if each.name == "frames")


def recording(model, given):
    """Samples `(N,)` for a model that makes frames of them, else frames `(T, C)`: of an array or a file."""
    converter, channels = getattr(getattr(model, "preprocessor", None), "audio_converter", None), _channels(model)
    takes = f"frames of {channels} numbers" if converter is None else "a sound"
    if isinstance(given, str) and not reading.is_file(given):
        raise ValueError(f"The model takes {takes}: name a file of that. Received: {given[:40]!r}")
    if not reading.is_file(given):
        found = np.asarray(given)
    elif not str(given).lower().endswith(reading.SOUNDS):
        found = reading.read_numbers(given)
    elif converter is None:
        raise ValueError(f"The model takes {takes}, ready made (.npy, .csv), and no sound. Received: {str(given)!r}")
    else:
        found = reading.read_sound(given, converter.log_mel.sample_rate)
    if converter is not None:
        found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
        if found.ndim != 1 or not len(found):
            raise ValueError(
                f"The model takes a sound, an array of samples (N,). Received: an array of shape {found.shape}"
            )
        return found
    if found.ndim != 2 or found.shape[1] != channels or not len(found):
        raise ValueError(f"The model takes frames (T, {channels}). Received: an array of shape {found.shape}")
    return found


def cells(model, given, lengths=()):
    length, padded = len(given.subject), given.inputs["frames"].shape[1]
    count = given.real if given.real <= 4 * SPANS else min(length, SPANS)

    def of_frames(model):
        def function(x, **options):
            x = ops.pad(x, ((0, 0), (0, padded - length), (0, 0)))
            return model({**as_many(given.inputs, x), "frames": x}, **options)

        return function

    return Cells(count, None, given.subject[None], of_frames, np.arange(length) * count // length)


def as_many(inputs, x):
    """Inputs of one row as many times as x has rows."""
    return {name: ops.repeat(ops.convert_to_tensor(each), ops.shape(x)[0], axis=0) for name, each in inputs.items()}
