"""Errors say what was wrong, what would be right, and what came."""

import math

import pytest

from keras_attn.lookup import number


@pytest.mark.parametrize("value", [0.5, 1, 0.0])
def test_a_number_within_its_bounds_is_itself(value):
    assert number("share", value, 0.0, 1.0, "[]") is value


@pytest.mark.parametrize(
    ("bounds", "value", "right"),
    [
        ({}, math.nan, "a number"),
        ({}, True, "a number"),
        ({"low": 0.0}, 0.0, "a number above 0"),
        ({"low": 0.0, "ends": "[)"}, -1e-9, "a number of at least 0"),
        ({"low": 0.0, "high": 1.0, "ends": "[)"}, 1.0, r"a number in \[0, 1\)"),
        ({"low": 0.0, "optional": True}, math.inf, "a number above 0 or None"),
        ({"names": ["learned"]}, "lerned", "a number or 'learned'"),
        ({}, None, "a number"),
    ],
    ids=str,
)
def test_what_is_no_such_number_is_refused(bounds, value, right):
    with pytest.raises(ValueError, match=f"`share`: it must be {right}. Received: share="):
        number("share", value, **bounds)
