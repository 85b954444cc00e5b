import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def _fresh_start():
    """Every test starts from the same random state."""
    import keras

    keras.utils.set_random_seed(0)
