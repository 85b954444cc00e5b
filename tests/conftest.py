import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests fetch nothing, except from a server of their own.
os.environ.setdefault("KERAS_ATTN_OFFLINE", "1")

#: Files that take longest on jax, most of it compiling.
MOSTLY_COMPILING = (
    "test_adaptive",
    "test_caption",
    "test_decoding",
    "test_delta",
    "test_docs",
    "test_end_to_end",
    "test_explain",
    "test_flash",
    "test_gated_linear",
    "test_keras_own_tests",
    "test_keras_tools",
    "test_language",
    "test_linear",
    "test_monotonic",
    "test_nearest",
    "test_pooling",
    "test_product_key",
    "test_recognizer",
    "test_said",
    "test_segment",
    "test_seq2seq",
    "test_sound",
    "test_story",
    "test_streams",
    "test_transcriber",
    "test_universal",
)
#: Files of what is drawn, written and read from arrays and files: the same on every backend.
OF_ARRAYS = ("test_answering", "test_page", "test_pictures", "test_store")
#: A folder of such files: how data sets are read and fetched.
OF_FILES = "datasets"


def pytest_collection_modifyitems(items):
    """On jax and torch what would take long and show little is left to `pytest -m slow`."""
    import keras

    left = {"jax": MOSTLY_COMPILING + OF_ARRAYS, "torch": OF_ARRAYS}.get(keras.config.backend(), ())
    for item in items:
        if left and (item.path.stem in left or item.path.parent.name == OF_FILES or item.get_closest_marker("trains")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _fresh_start():
    """Every test starts from the same random state."""
    import keras

    keras.utils.set_random_seed(0)
