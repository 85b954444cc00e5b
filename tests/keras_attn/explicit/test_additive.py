import numpy as np
import pytest
from keras import ops

from keras_attn import AdditiveAttention


def test_weights_and_mix_follow_the_paper_s_equations():
    rng = np.random.default_rng(0)
    query, value = rng.normal(size=(2, 3, 5)).astype("float32"), rng.normal(size=(2, 7, 4)).astype("float32")
    layer = AdditiveAttention(units=11)
    mix, weights = layer(query, value, return_attention_scores=True)
    parts = {w.path.split("/", 1)[1]: ops.convert_to_numpy(w) for w in layer.weights}
    for b in range(2):
        for t in range(3):
            hidden = np.tanh(query[b, t] @ parts["query/kernel"] + value[b] @ parts["key/kernel"] + parts["key/bias"])
            e = np.exp(hidden @ parts["scale"])
            np.testing.assert_allclose(ops.convert_to_numpy(weights)[b, t], e / e.sum(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(ops.convert_to_numpy(mix)[b, t], e / e.sum() @ value[b], rtol=1e-4, atol=1e-5)


def test_without_units_widths_must_agree():
    with pytest.raises(ValueError, match="Without `units`"):
        AdditiveAttention()(np.ones((2, 3, 5)), np.ones((2, 7, 4)))
