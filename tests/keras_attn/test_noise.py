"""Random numbers that depend on where they stand."""

import numpy as np
from keras import ops

from keras_attn import noise

SEED = (17, 3)


def uniform(shape, *args, **options):
    return ops.convert_to_numpy(noise.uniform(ops.convert_to_tensor(SEED), shape, *args, **options))


def test_they_are_uniform_and_independent_of_their_neighbours():
    drawn = uniform((5, 7, 31, 101))
    assert drawn.min() > 0.0 and drawn.max() < 1.0
    assert abs(drawn.mean() - 0.5) < 5e-3 and abs(drawn.std() - 12**-0.5) < 5e-3
    for axis in range(4):
        one, other = (np.take(drawn, range(*ends), axis=axis).ravel() for ends in ((0, 4), (1, 5)))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_a_part_has_the_numbers_of_the_whole():
    np.testing.assert_array_equal(uniform((2, 3, 4, 6), 5, 7), uniform((2, 3, 11, 13))[:, :, 5:9, 7:])


def test_streams_and_seeds_differ():
    one, other = uniform((1, 1, 7, 11)), uniform((1, 1, 7, 11), stream=1)
    assert np.abs(one - other).min() > 0.0
    again = ops.convert_to_numpy(noise.uniform(ops.convert_to_tensor((17, 4)), (1, 1, 7, 11)))
    assert np.abs(one - again).min() > 0.0


def by_whole_numbers(seed, place, stream=0):
    """The same hash in Python's integers."""

    def mix(x):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            x = (x ^ x >> shift) * factor % 2**32
        return x

    hashed = mix((seed[0] + mix((seed[1] + mix(stream)) % 2**32)) % 2**32)
    for index in place:
        hashed = mix((hashed + index * 0x9E3779B9) % 2**32)
    return ((hashed >> 9) + 0.5) / 2**23


def test_the_numbers_are_those_of_the_hash_on_every_backend():
    drawn = uniform((2, 3, 5, 7), stream=1)
    expected = [by_whole_numbers(SEED, place, 1) for place in np.ndindex(drawn.shape)]
    np.testing.assert_allclose(drawn.ravel(), expected, atol=1e-6)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = np.ones((3, 2, 50, 70), "float32")
    dropped = ops.convert_to_numpy(noise.dropout(ops.convert_to_tensor(x), 0.3, ops.convert_to_tensor(SEED)))
    assert abs((dropped == 0.0).mean() - 0.3) < 0.01 and abs(dropped.mean() - 1.0) < 0.02
    np.testing.assert_allclose(dropped[dropped != 0.0], 1.0 / 0.7, rtol=1e-6)
