"""Images with classes or numbers: a folder with a folder for each class, or arrays."""

import hashlib
from pathlib import Path

import numpy as np

SUBJECT = "image"
#: Images are made no larger than this, and cut into about this many patches along a side.
LARGEST, PATCHES = 64, 8
MIXERS = ("multi_head", "additive", "gru", "gated_conv", "linear_recurrence", ("gru", "multi_head"))
CONTROLS = ("identity", "pooling")
RATES, DROPOUTS = (2e-3, 6e-3, 2e-2), (0.1,)


def is_path(data):
    """Whether it names a folder or a file."""
    return isinstance(data, (str, Path)) and Path(data).suffix.lower() != ".npz"


def read(folder):
    """Images `(N, H, W, C)` uint8, the names of their folders, and what should be known of them.

    Args:
        folder: a folder that holds a folder of images for each class.

    Raises:
        FileNotFoundError, ValueError: if it is none such, or files are damaged: they are named.
    """
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(
            f"`images` is a folder that holds a folder of images for each class. Received a file: {folder}"
        )
    if folder.is_dir() and not any(entry.is_dir() for entry in folder.iterdir()):
        raise ValueError(f"{folder} must hold a folder for each class, its images inside. It holds no folders.")
    files = find_files(folder)
    stray = [file for file in files if file.parent == folder]
    if stray:
        raise ValueError(f"{folder} must hold a folder for each class. Beside them lies {stray[0].name!r}.")
    high, wide, channels = np.array(_look_at(files)).T
    shape = (*fit(np.median(high), np.median(wide))[:2], 3 if channels.max() > 1 else 1)
    same = (high == shape[0]).all() and (wide == shape[1]).all()
    counted = len(set(zip(high.tolist(), wide.tolist())))
    of_sizes = f"Images of {counted} sizes were" if counted > 1 else f"Images of {high[0]} x {wide[0]} were"
    notes = () if same else (f"{of_sizes} made {shape[0]} x {shape[1]} pixels.",)
    labels = np.array([file.relative_to(folder).parts[0] for file in files], dtype=object)
    return read_files(files, shape).astype("uint8"), labels, notes


def find_files(place):
    """The paths of all images in a folder and the folders in it, or of the one image that is named."""
    from zoo.reading import IMAGES

    if not place.exists():
        raise FileNotFoundError(f"There is no folder {str(place)!r}.")
    every = [place] if place.is_file() else sorted(place.rglob("*"))
    files = [file for file in every if file.suffix.lower() in IMAGES]
    if not files:
        raise ValueError(f"{place} holds no images ({', '.join(IMAGES)}).")
    return files


def read_files(files, shape):
    """Images as float32 `(N, H, W, C)`, from 0 to 255, of one shape."""
    from zoo import reading

    images = []
    for file in files:
        try:
            images.append(reading.read_image(file, shape))
        except Exception as error:  # Each format has errors of its own.
            raise ValueError(f"{file} cannot be read as an image: {error}") from None
    return np.stack(images)


def check_array(x):
    """An array of images `(N, H, W, C)`."""
    if x.ndim not in (3, 4):
        raise ValueError(f"Images are of shape (N, H, W) or (N, H, W, C). Received: {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError("Images hold finite numbers. Received: some that are not")
    return x[..., None] if x.ndim == 3 else x


def fit(high, wide):
    """Height, width and the side of a patch that divides them, about `PATCHES` along the longer side.

    The sizes are near to those given, and no larger than `LARGEST`.

    Example:
    >>> fit(28, 28), fit(300, 400)
    ((28, 28, 4), (48, 64, 8))
    """
    scale = min(1.0, LARGEST / max(high, wide))
    longest = max(high, wide) * scale
    patch = max(1 if longest < 2 * PATCHES else 2, round(longest / PATCHES))
    found = [int(max(1, round(side * scale / patch)) * patch) for side in (high, wide)]
    # What was fitted fits itself, so that images that are read in that size stay as they are.
    return (*found, patch) if found == [high, wide] else fit(*found)


def measure(x, test=None):
    """The shape that images are brought to, and the side of a patch."""
    high, wide, patch = fit(*x.shape[1:3])
    return {"image_shape": (high, wide, int(x.shape[3])), "patch_size": patch}


def describe(sizes, x):
    (high, wide, channels), patch = sizes["image_shape"], sizes["patch_size"]
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"images of {high} x {wide} pixels ({kind}), in patches of {patch} x {patch}"


def learn(x, sizes):
    """The preprocessor with size, mean and deviation of the training images."""
    import zoo
    from zoo.series import standard

    mean, deviation = standard(x)
    converter = zoo.MixerImageConverter(
        image_size=sizes["image_shape"][:2],
        scale=[1 / each for each in deviation],
        offset=[-each / other for each, other in zip(mean, deviation)],
    )
    return zoo.MixerImageClassifierPreprocessor(converter)


def prepare(preprocessor, x, at_once=1024):
    import keras

    starts = range(0, len(x), at_once)
    parts = [preprocessor(x[start : start + at_once].astype("float32")) for start in starts]
    return np.concatenate([keras.ops.convert_to_numpy(part).astype("float32") for part in parts])


def keys(x):
    """What tells whether two rows are the same."""
    return [hashlib.sha256(np.ascontiguousarray(image)).digest() for image in x]


def model(mixer, width, dropout, sizes, outputs):
    """A classifier over patches."""
    import zoo

    backbone = zoo.MixerImageBackbone(mixer=mixer, hidden_dim=width, dropout=dropout, **sizes)
    return zoo.MixerImageClassifier(backbone, num_classes=outputs, dropout=dropout)


def _look_at(files):
    """Height, width and channels of each image, all of which was read."""
    sizes, damaged = [], []
    for file in files:
        try:
            sizes.append(_look(file))
        except Exception as error:  # Each format has errors of its own.
            damaged.append(f"{file.name} ({type(error).__name__})")
    if damaged:
        raise ValueError(
            f"{len(damaged)} of {len(files)} images cannot be read: {', '.join(damaged[:5])}"
            f"{' and more' * (len(damaged) > 5)}. Mend them or take them away."
        )
    return sizes


def _look(file):
    import PIL.Image

    with PIL.Image.open(file) as image:
        image.load()
        return image.height, image.width, 1 if image.mode in ("1", "L") or image.mode.startswith(("I", "F")) else 3
