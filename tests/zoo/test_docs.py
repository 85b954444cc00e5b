import doctest
import importlib
import pkgutil

import pytest

import zoo


@pytest.mark.parametrize("name", [module.name for module in pkgutil.walk_packages(zoo.__path__, "zoo.")])
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
