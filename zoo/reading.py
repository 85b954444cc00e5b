"""From what a person names to what a model takes: models by name or file, texts, files of images, sound, numbers."""

import os
import wave
from pathlib import Path

import keras
import numpy as np

from keras_attn.lookup import choose
from zoo import safety, store
from zoo.tokens import UNKNOWN

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
NUMBERS = (".npy", ".csv")
SOUNDS = (".wav",)
#: Of what a model knows so many pieces are named to who asks it about something else.
NAMED = 12


def check_model(model):
    """Raises if what is named is no model, before anything is loaded."""
    name = str(model)
    if name.lower().endswith(".keras") and not name.endswith(".keras"):
        raise ValueError(f"Keras reads models from files that end in '.keras', in small letters. Received: {name!r}")
    if name.endswith(".keras"):
        if not os.path.isfile(name):
            raise FileNotFoundError(f"There is no model {name!r}.")
    elif name not in store.PRESETS and not os.path.isdir(name):
        choose("model (no preset, no directory and no .keras file)", name, store.PRESETS)


def check_input(given):
    """Raises if what ends like a file of an image, a sound or numbers is not there."""
    if is_file(given) and not os.path.isfile(given):
        raise FileNotFoundError(f"There is no file {str(given)!r}.")


def check_text(given, may_be_empty=False):
    """Raises for what is no text: the name of a file that is there, or nothing at all."""
    if not isinstance(given, str) or not (given.strip() or may_be_empty):
        raise ValueError(f"The model takes a text. Received: {given!r}")
    like_a_name = is_file(given) or ("." in given and not any(map(str.isspace, given)))
    if like_a_name and os.path.isfile(given):
        raise ValueError(f"The model takes texts, not files. Received: {given!r}, which is a file")


def check_known(preprocessor, text):
    """Raises for a text of which the model knows no piece: what it said would be about nothing."""
    tokenizer = getattr(preprocessor, "source_tokenizer", None) or preprocessor.tokenizer
    pieces = {tokenizer.id_to_token(int(each)) for each in np.ravel(tokenizer(text))}
    if pieces == {UNKNOWN}:
        some = [piece for piece in tokenizer.get_vocabulary() if not piece.startswith(("[", "#"))][:NAMED]
        raise ValueError(f"The model knows nothing of {text[:40]!r}. It knows, among others: {' '.join(some)}")


def read_model(model):
    """A preset by name or directory, or a `.keras` file; of either nothing is built that could run code of its own."""
    if str(model).endswith(".keras"):
        safety.verify_keras_file(model)
        return keras.saving.load_model(model, compile=False)
    return store.load(model)


def read_card(model):
    """The card of a preset, by name or directory; empty if there is none."""
    return store.card(model) if not str(model).endswith(".keras") and store.has_card(model) else {}


def class_names(card):
    """What a preset's classes are called: by its card, or as the data of a person's own did; None if they are not."""
    names = card.get("classes") or (card.get("form") or {}).get("classes")
    return names and [str(name) for name in names]


def unit(card):
    """How much of an answer one of the model's is, and which its zero is, for numbers of own data; None for others."""
    form = card.get("form") or {}
    return (form["deviation"], form["mean"]) if form.get("deviation") is not None else None


def is_file(given):
    """Whether it names a file of an image, a sound or numbers, by its ending."""
    return isinstance(given, (str, Path)) and str(given).lower().endswith((*IMAGES, *NUMBERS, *SOUNDS))


def check_output(out, given):
    """Raises if the file that is written would take the place of the one that is read."""
    named = out is not None and isinstance(given, (str, Path)) and os.path.exists(given)
    if named and os.path.exists(out) and os.path.samefile(out, given):
        raise ValueError(f"What is read would be written over: name another file. Received: {str(out)!r} for both")


def read_numbers(path):
    """An array from a .npy file, or the columns of a .csv file `(T, C)`, whose first line may be names.

    An empty cell is NaN.
    """
    path = Path(path)
    if path.suffix.lower() not in NUMBERS:
        raise ValueError(f"Numbers are read from {' or '.join(NUMBERS)}. Received: {path.name!r}")
    if not path.stat().st_size:
        raise ValueError(f"{path.name!r} must hold numbers. Received: an empty file")
    try:
        if path.suffix.lower() == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            # With or without the mark that some programs put at a file's beginning.
            with open(path, encoding="utf-8-sig") as file:
                names = not any(map(_is_number, file.readline().split(",")))
            found = np.loadtxt(
                path, delimiter=",", skiprows=int(names), ndmin=2, encoding="utf-8-sig", converters=_as_number
            )
    except (ValueError, UnicodeDecodeError, EOFError) as error:
        raise ValueError(f"{path.name!r} cannot be read as numbers: {str(error) or 'it ends too early'}") from None
    if found.dtype.kind not in "fiub" or not found.size:
        raise ValueError(f"{path.name!r} must hold numbers. Received: {found.size} of dtype {found.dtype}")
    return found


def read_sound(path, sample_rate):
    """The samples of a .wav file of 16 bits, `(N,)`, float32, between -1 and 1; several channels become their mean."""
    try:
        with wave.open(str(path), "rb") as file:
            width, rate, channels = file.getsampwidth(), file.getframerate(), file.getnchannels()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"{Path(path).name!r} cannot be read as a sound: {str(error) or 'it ends too early'}"
        ) from None
    if (width, rate) != (2, sample_rate) or not content:
        raise ValueError(
            f"The model takes sounds of 16 bits at {sample_rate} Hz, at least one sample. "
            f"Received: {8 * width} bits at {rate} Hz, {len(content)} bytes"
        )
    samples = np.frombuffer(content, dtype="<i2").astype("float32") / 2**15
    return samples.reshape(-1, channels).mean(axis=1)


def read_image(path, shape):
    """An image file as float32 from 0 to 255, `(H, W, C)` of that shape; sizes that are None stay as they are.

    Behind what can be seen through stands white.
    """
    if Path(path).suffix.lower() in NUMBERS:
        return as_image(read_numbers(path).astype("float32"), shape)
    import PIL.Image

    height, width, channels = shape
    try:
        with PIL.Image.open(path) as file:
            image = _on_white(_eight_bits(file)).convert("L" if channels == 1 else "RGB")
    except (PIL.UnidentifiedImageError, SyntaxError, EOFError) as error:
        raise ValueError(f"{Path(path).name!r} cannot be read as an image: {error}") from None
    image = image.resize((width or image.width, height or image.height), PIL.Image.Resampling.BILINEAR)
    return as_image(np.asarray(image, dtype="float32"), shape)


def _on_white(image):
    import PIL.Image

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)


def _eight_bits(image):
    """An image of 16 bits of grey as one of 8, which `convert` would clip. All others as they are.

    Raises:
        ValueError: for grey of another range.
    """
    import PIL.Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"Grey values have 8 or 16 bits. Received: mode {image.mode}, {values.min()} to {values.max()}"
        )
    return PIL.Image.fromarray(np.round(values / 257).astype("uint8"))


def as_image(image, shape):
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or any(want not in (None, size) for want, size in zip(shape, image.shape)):
        raise ValueError(f"The model takes images of shape {shape}. Received: an array of shape {image.shape}")
    return image


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _as_number(cell):
    return float(cell) if cell.strip() else np.nan
