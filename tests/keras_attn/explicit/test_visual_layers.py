"""What all layers that look at images have in common."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import (
    GaussianGridRead,
    GaussianGridWrite,
    Glimpse,
    GlimpsePolicy,
    ReinforceModel,
    SpatialTransformer,
)

# Torch's compiler takes minutes.
COMPILE = keras.backend.backend() != "torch"
B, H, W, C, D = 3, 7, 11, 2, 5
IMAGES, STATE = (H, W, C), (D,)

# A layer and the shapes of what it is called on.
CASES = {
    "read": (lambda **kwargs: GaussianGridRead(size=3, **kwargs), [IMAGES, STATE]),
    "write": (lambda **kwargs: GaussianGridWrite(height=H, width=W, **kwargs), [(3, 3, C), STATE]),
    "glimpse": (lambda **kwargs: Glimpse(size=3, scales=2, **kwargs), [IMAGES, (2,)]),
    "policy": (lambda **kwargs: GlimpsePolicy(seed=1, **kwargs), [STATE]),
    "transformer": (lambda **kwargs: SpatialTransformer(output_size=(5, 3), **kwargs), [IMAGES, STATE]),
}
every_layer = pytest.mark.parametrize("make, shapes", CASES.values(), ids=CASES)


def numpy(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def inputs_of(shapes, batch=B):
    return [0.5 * normal(batch, *shape, seed=n) for n, shape in enumerate(shapes)]


def model_of(layer, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(*inputs))


@every_layer
def test_shapes_are_known_before_the_values(make, shapes):
    output = make()(*inputs_of(shapes))
    symbolic = make()(*(keras.Input(shape, batch_size=B) for shape in shapes))
    assert tuple(symbolic.shape) == tuple(output.shape) and symbolic.dtype == "float32"
    assert tuple(model_of(make(), shapes).output_shape) == (None, *output.shape[1:])


def test_what_is_shown_has_a_known_shape_too():
    images, state, patch = keras.Input(IMAGES), keras.Input(STATE), keras.Input((3, 3, C))
    _, filters = GaussianGridRead(size=3)(images=images, state=state, return_filters=True)
    assert [tuple(f.shape) for f in filters] == [(None, 3, H), (None, 3, W)]
    _, filters = GaussianGridWrite(height=H, width=W)(patch, state, return_filters=True)
    assert [tuple(f.shape) for f in filters] == [(None, 3, H), (None, 3, W)]
    _, theta = SpatialTransformer()(images, state, return_theta=True)
    assert tuple(theta.shape) == (None, 2, 3)


@every_layer
def test_a_saved_model_computes_the_same(make, shapes, tmp_path):
    layer = make()
    model = model_of(layer, shapes)
    layer.set_weights([w + 0.1 if w.dtype == "float32" else w for w in layer.get_weights()])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[-1].get_config() == layer.get_config()
    np.testing.assert_allclose(numpy(again(inputs_of(shapes))), numpy(model(inputs_of(shapes))), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
@every_layer
def test_half_precision_stays_finite_and_knows_where_it_looks(make, shapes, policy):
    half, single = make(dtype=policy), make()
    inputs = [normal(B, *shape, seed=n) for n, shape in enumerate(shapes)]
    single(*inputs)
    half(*inputs)
    half.set_weights(single.get_weights())
    output = half(*inputs, training=True) if isinstance(half, GlimpsePolicy) else half(*inputs)
    assert keras.backend.standardize_dtype(output.dtype) == keras.DTypePolicy(policy).compute_dtype
    if not isinstance(half, GlimpsePolicy):
        np.testing.assert_allclose(numpy(ops.cast(output, "float32")), numpy(single(*inputs)), rtol=0.02, atol=0.02)
    large = half(*(300.0 * x for x in inputs))
    assert np.isfinite(numpy(ops.cast(large, "float32"))).all()


@pytest.mark.compiles
@every_layer
def test_any_batch_trains_and_predicts_compiled(make, shapes):
    layer = make()
    model = model_of(layer, shapes)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=COMPILE)
    before = [numpy(w).copy() for w in layer.trainable_weights]
    for batch in (B, 2):
        inputs = inputs_of(shapes, batch)
        if layer.trainable_weights:
            model.train_on_batch(inputs, normal(batch, *model.output_shape[1:], seed=9))
        np.testing.assert_allclose(model.predict_on_batch(inputs), numpy(layer(*inputs)), rtol=1e-3, atol=1e-4)
    assert not any(np.array_equal(a, numpy(b)) for a, b in zip(before, layer.trainable_weights))


@pytest.mark.parametrize("name", ["read", "glimpse", "transformer"])
def test_an_unknown_size_of_the_image_will_do(name):
    make, shapes = CASES[name]
    layer = make()
    inputs = keras.Input((None, None, C)), keras.Input(shapes[1])
    model = keras.Model(inputs, layer(*inputs))
    model.compile(jit_compile=COMPILE)
    arrays = inputs_of(shapes)
    np.testing.assert_allclose(model.predict(arrays, verbose=0), numpy(layer(*arrays)), rtol=1e-3, atol=1e-4)


@pytest.mark.compiles
def test_a_recurrent_reader_of_glimpses_learns_with_a_reward():
    images = keras.Input((H, W, 1))
    glimpse, policy, flat = Glimpse(size=3, scales=2), GlimpsePolicy(learned_baseline=True), keras.layers.Flatten()
    cell = keras.layers.GRUCell(D)
    state = keras.layers.Lambda(lambda x: ops.zeros((ops.shape(x)[0], D)), output_shape=(D,))(images)
    for _ in range(3):
        _, state = cell(flat(glimpse(images, policy(state))), state)
        state = state[0] if isinstance(state, (list, tuple)) else state
    model = keras.Model(images, keras.layers.Dense(1)(state))
    learner = ReinforceModel(model)
    learner.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=COMPILE)
    before = [numpy(w).copy() for w in policy.trainable_weights]
    x, y = normal(B, H, W, 1), normal(B, 1)
    losses = [float(learner.train_on_batch(x, y)) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert not any(np.array_equal(a, numpy(b)) for a, b in zip(before, policy.trainable_weights))
