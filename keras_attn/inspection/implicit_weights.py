import contextlib
import functools
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_attn.inspection._calls import called, replaced
from keras_attn.inspection._entrance import at_once, tiled
from keras_attn.inspection.weights import _names


class ImplicitWeights(NamedTuple):
    """The weights with which an implicit layer moved values between positions.

    Attributes:
        matrix: `(B, C, T, S)`, for each channel how much of the value at s is in what position t gets.
        gated: whether it holds for these inputs only, with all gates as they were. Otherwise the matrix is the Jacobian
            of the mix by the values. Where it holds for these inputs only, the Jacobian has besides what the gates do
            when the inputs change, which `sensitivity` shows.
        dense: whether channels mix too. Then a number is the norm over the channels that the value comes from, and not
            signed.
    """

    matrix: np.ndarray
    gated: bool
    dense: bool


def implicit_weights(model, inputs, **options):
    """What implicit layers would show as weights if they had any: their exact mixing matrices.

    Linear recurrences, state spaces, convolutions and gates along positions are linear in their values once the gates
    are known: `y_t = Σ_s M_ts ⊙ v_s`, with a matrix M for each channel. Of a recurrence
    `h_t = a_t ⊙ h_{t-1} + i_t ⊙ v_t` it is `M_ts = a_t ⋯ a_{s+1} i_s`. Gates of single channels are in it, an output
    gate too; a projection behind it, and gates behind that, are not. Beside the weights of attention they say the same,
    but may be negative and need not sum to one.

    They are found by mixing a value of one at each position alone, and, where channels mix too, in each channel.

    LSTM, GRU and MLP-Mixer are not linear in any values and have no such matrix: `sensitivity` shows their Jacobian.
    Linear attention has weights like any other: see `weights`. The layers within `AcrossGrid` have matrices for
    each row, and for each column, as a batch.

    Args:
        model: a built Keras model or layer.
        inputs: what it is called with.
        **options: further arguments of the call; `training=False` unless given.

    Returns:
        A dictionary in the order in which the layers were reached, with names as those of `weights`, to
        `ImplicitWeights`. At padding the matrices are zero.

    Raises:
        ValueError: if no layer was reached that has a matrix.

    Example:
    >>> from keras_attn import MinGRU
    >>> layer = MinGRU(name="memory")
    >>> layer.build((None, 3, 2))
    >>> layer.set_weights([np.zeros_like(x) for x in layer.get_weights()])
    >>> found = implicit_weights(layer, np.ones((1, 3, 2), "float32"))["memory"]
    >>> found.gated, found.matrix[0, 0].tolist()
    (True, [[0.5, 0.0, 0.0], [0.25, 0.5, 0.0], [0.125, 0.25, 0.5]])

    Reference: Ali et al., 2024, https://arxiv.org/abs/2403.01590 (of selective state spaces); Poli et al., 2023,
    https://arxiv.org/abs/2302.10866, section 3 (of long convolutions between gates).
    """
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "mixing") and hasattr(layer, "compute_mix")]
    heard = []

    def listening(compute_mix, layer):
        @functools.wraps(compute_mix)
        def heard_mix(x, mask, causal, training):
            if (found := _of_call(layer, x, mask, causal)) is not None:
                heard.append((layer, found))
            return compute_mix(x, mask, causal, training)

        return heard_mix

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, functools.partial(listening, layer=layer), "compute_mix"))
        called(model, inputs, **{"training": False, **options})
    if not heard:
        names = ", ".join(layer.name for layer in model._flatten_layers(include_self=False))
        raise ValueError(
            f"No layer of {model.name!r} that was reached mixes values linearly. For what does not, there is "
            f"`sensitivity`, and for attention `weights`. Received: a model of layers {names or '(none)'}"
        )
    return dict(zip(_names([layer for layer, _ in heard]), (found for _, found in heard)))


def _of_call(layer, x, mask, causal):
    """The `ImplicitWeights` of a layer for the inputs that it mixes, or None."""
    mixing = layer.mixing(x, mask, causal)
    if mixing is None:
        return None
    inputs = [None if each is None else ops.convert_to_numpy(each) for each in (x, mask)]
    found = _probed(layer, inputs, causal, tuple(mixing.values.shape), mixing.dense)
    # (S, Di or 1, B, T, C), then -> (B, C, T, S)
    matrix = np.moveaxis(np.sqrt(np.square(found).sum(axis=1)) if mixing.dense else found[:, 0], (0, 3), (3, 1))
    if mask is not None:
        real = ops.convert_to_numpy(mask)
        matrix = matrix * (real[:, None, :, None] & real[:, None, None, :])
    return ImplicitWeights(matrix, mixing.gated, mixing.dense)


def _probed(layer, inputs, causal, shape, dense):
    """What becomes of a value of one at each position alone, in all channels at once or one by one where they mix."""
    batch, length, width = shape
    # Which probe a number of (S, C) belongs to.
    probe = np.arange(length * width) if dense else np.repeat(np.arange(length), width)
    count = probe[-1] + 1
    copies = at_once(count, np.empty(shape, "float32"))
    many = layer.mixing(*(None if x is None else ops.convert_to_tensor(tiled(x, copies)) for x in inputs), causal)
    found = []
    for first in range(0, count, copies):
        # Copies behind the last probe are all zeros.
        asked = (probe == np.arange(first, first + copies)[:, None]).reshape(-1, length, width)
        mix = many.mix(ops.cast(np.repeat(asked, batch, axis=0), many.values.dtype))
        found.append(ops.convert_to_numpy(ops.cast(mix, "float32")).reshape(copies, batch, *mix.shape[1:]))
    # (S, Di or 1, B, T, C)
    return np.concatenate(found)[:count].reshape(length, -1, batch, *mix.shape[1:])
