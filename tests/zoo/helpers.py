"""What the zoo's tests share. Sizes are different primes, so that a swapped axis cannot pass."""

import os
import subprocess
import sys

import h5py
import keras
import numpy as np

import zoo
from keras_attn import mixers

#: TensorFlow compiles small models for longer than it trains them; jax without compiling takes very long.
COMPILED = keras.backend.backend() == "jax"
B, T, D, VOCABULARY, CLASSES = 3, 7, 11, 23, 5
NAMES = mixers.names()
ANY_LENGTH = [name for name in NAMES if not mixers.get(name).fixed_length]
CAUSAL = [name for name in NAMES if mixers.get(name).can_be_causal]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "fun", "##ny", "dull", "not", ".", "film", "a"]


def text_backbone(mixer, **options):
    if isinstance(mixer, str) and mixers.get(mixer).fixed_length:
        options = {"sequence_length": T, **options}
    return zoo.MixerTextBackbone(VOCABULARY, **{"hidden_dim": D, "mixer": _fitting(mixer), **options})


def image_backbone(mixer, **options):
    return zoo.MixerImageBackbone((6, 10, 3), **{"hidden_dim": D, "mixer": _fitting(mixer), **options})


def _fitting(mixer):
    """D is a prime, so that more than one head would not divide it."""
    if isinstance(mixer, list):
        return [_fitting(part) for part in mixer]
    return {"mixer": "multi_head", "num_heads": 1} if mixer == "multi_head" else mixer


def token_batch(lengths=(7, 5, 2), width=T, seed=0):
    random = np.random.default_rng(seed)
    mask = np.arange(width)[None, :] < np.array(lengths)[:, None]
    ids = random.integers(0, VOCABULARY, (len(lengths), width))
    return {"token_ids": ids.astype("int32"), "padding_mask": mask.astype("int32")}


def text_classifier(mixer="additive"):
    preprocessor = zoo.MixerTextClassifierPreprocessor(zoo.MixerTokenizer(PIECES), sequence_length=13)
    return zoo.MixerTextClassifier(text_backbone(mixer), CLASSES, preprocessor=preprocessor)


def fresh_process(code, backend):
    """Runs Python code in a new process on a backend and returns the last line it printed."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def keys_of_preset(folder):
    """Of each weight file of a preset what `keys_of` finds; a task whose backbone has all its weights has one file."""
    return {file.name: keys_of(file) for file in folder.glob("*.weights.h5")}


def keys_of(file):
    """Path and shape of each weight in a file."""
    found = {}
    with h5py.File(file) as weights:
        weights.visititems(
            lambda path, item: found.update({path: list(item.shape)}) if isinstance(item, h5py.Dataset) else None
        )
    return found
