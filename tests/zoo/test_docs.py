import doctest

import pytest

from zoo import backbone, heads, image, store, tagger, text


@pytest.mark.parametrize("module", [backbone, heads, image, store, tagger, text])
def test_examples_in_docstrings_run(module):
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
