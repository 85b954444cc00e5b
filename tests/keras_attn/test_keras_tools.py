"""What Keras does with any layer works with ours: half precision in training, LoRA, int8, files for another backend."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import mixers

B, T, D = 4, 6, 8
RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(B, T, D)).astype("float32") for _ in range(2))
PROJECTING = [
    {"mixer": "multi_head", "num_heads": 2},
    {"mixer": "multi_head", "num_heads": 4, "num_key_value_heads": 2, "positions": "rotary", "use_gate": True},
    {"mixer": "additive", "units": 8},
    "linear_recurrence",
    "token_mlp",
]
EXPLICIT = [name for name in mixers.names() if mixers.get(name).kind == "explicit"]


def model_with(spec, **options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((T, D))
    return keras.Model(inputs, mixers.get(spec, **options)(inputs))


def projections(model):
    kinds = (keras.layers.Dense, keras.layers.EinsumDense)
    return [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]


# Float16 with all, for it has the narrower range; with bfloat16 some of them.
@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *((name, "mixed_float16") for name in EXPLICIT),
        *((name, "mixed_bfloat16") for name in ("additive", "multi_head", "delta_rule", "neural_turing_machine")),
    ],
)
def test_it_trains_in_half_precision(name, policy):
    model = model_with(name, dtype=policy)
    # Mixed float16 needs its losses scaled; Keras does it for an optimizer that compile makes.
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = [np.asarray(w) for w in model.get_weights()]
    losses = model.fit(X, Y, epochs=6, batch_size=B, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert all(keras.backend.standardize_dtype(w.dtype) == "float32" for w in model.trainable_weights)
    if before:
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("spec", PROJECTING, ids=str)
def test_projections_take_lora(spec, tmp_path):
    model = model_with(spec)
    outputs = ops.convert_to_numpy(model(X))
    for layer in projections(model):
        layer.enable_lora(2)
    # LoRA begins with a change of nothing, and only what it adds is trained.
    np.testing.assert_allclose(ops.convert_to_numpy(model(X)), outputs, atol=1e-5)
    kernels = [np.asarray(layer._kernel) for layer in projections(model)]
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(X, Y, epochs=5, batch_size=B, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for kernel, layer in zip(kernels, projections(model)):
        np.testing.assert_array_equal(np.asarray(layer._kernel), kernel)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(X)) for m in (model, again)), atol=1e-5)


@pytest.mark.parametrize("spec", PROJECTING, ids=str)
def test_projections_take_int8(spec, tmp_path):
    model = model_with(spec)
    outputs = ops.convert_to_numpy(model(X))
    model.quantize("int8")
    assert all(layer.dtype_policy.quantization_mode == "int8" for layer in projections(model))
    quantized = ops.convert_to_numpy(model(X))
    np.testing.assert_allclose(quantized, outputs, atol=0.05 * np.abs(outputs).max())
    # Keras's own attention layer does not come back from a file once it is quantized. What came back is saved again.
    for times in (1, 2):
        model.save(tmp_path / f"{times}.keras")
        model = keras.models.load_model(tmp_path / f"{times}.keras")
        np.testing.assert_allclose(ops.convert_to_numpy(model(X)), quantized, atol=1e-5)
        assert all(layer.quantization_mode == "int8" for layer in projections(model))


SAVE_OR_LOAD = """
import json, sys
import keras, numpy as np
import keras_attn
folder, names = sys.argv[2], json.loads(sys.argv[3])
# Wide enough that no head has two channels: of two nearly equal ones, standardising makes plus and minus one, and of
# their last digits a thousand times as much.
x = np.random.default_rng(0).normal(size=(2, 6, 32)).astype("float32")
for name in names:
    if sys.argv[1] == "save":
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6, 32))
        model = keras.Model(inputs, keras_attn.mixers.get(name)(inputs))
        model.save(f"{folder}/{name}.keras")
        np.save(f"{folder}/{name}.npy", keras.ops.convert_to_numpy(model(x)))
    else:
        found = keras.ops.convert_to_numpy(keras.models.load_model(f"{folder}/{name}.keras")(x))
        np.testing.assert_allclose(found, np.load(f"{folder}/{name}.npy"), atol=3e-5, err_msg=name)
"""


@pytest.mark.slow
def test_a_file_of_one_backend_loads_on_the_others(tmp_path):
    def run(backend, what):
        command = [sys.executable, "-c", SAVE_OR_LOAD, what, str(tmp_path), json.dumps(mixers.names())]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend})

    run("tensorflow", "save")
    run("jax", "load")
    run("torch", "load")
