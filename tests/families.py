"""Which mixers stand for the others where testing all of them takes long: one of each family of code.

jax compiles every operation for every shape. On jax and torch the others are tested by `pytest -m slow`.
"""

import keras
import pytest

FAMILIES = (
    "additive",
    "gated_linear_attention",
    "linear_recurrence",
    "location_sensitive",
    "long_conv",
    "lstm",
    "monotonic",
    "multi_head",
    "nearest_memory",
    "neural_turing_machine",
    "product_key",
    "segment_memory",
    "selective_state_space",
)


def first_of_families(specs):
    """The specs as parameters of a test, on jax and torch all but those of `FAMILIES` marked as slow."""
    if keras.config.backend() == "tensorflow":
        return list(specs)
    return [pytest.param(spec, marks=[] if spec in FAMILIES else pytest.mark.slow) for spec in specs]
