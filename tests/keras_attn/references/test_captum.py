"""Attribution against captum's, of the same models on torch."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection

torch = pytest.importorskip("torch")
captum = pytest.importorskip("captum.attr")
if keras.config.backend() != "torch":
    pytest.skip("captum explains models on torch", allow_module_level=True)

B, T, D, CHANNELS, TARGET, STEPS = 2, 7, 5, 3, 1, 13
RNG = np.random.default_rng(0)
X, BASELINE = (RNG.normal(size=(B, T, D)).astype("float32") for _ in range(2))
MIXERS = {
    "attention": lambda: keras_attn.MultiHeadAttention(num_heads=1),
    "recurrence": lambda: keras_attn.MinGRU(),
    "gru": lambda: layers.GRU(D, return_sequences=True),
    "convolution": lambda: keras_attn.GatedConvolution(kernel_size=3),
}


@pytest.fixture(params=MIXERS)
def model(request):
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(D, activation="tanh")(inputs := keras.Input((T, D)))
    hidden = layers.add([hidden, MIXERS[request.param]()(hidden)])
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(D, activation="gelu")(hidden))
    return keras.Model(inputs, layers.Dense(CHANNELS)(pooled))


def agree(found, theirs):
    np.testing.assert_allclose(found, theirs.detach().numpy().sum(-1), rtol=1e-4, atol=1e-4 * np.abs(found).max())


def tensor(x):
    return torch.as_tensor(x).requires_grad_()


def test_gradient_times_input(model):
    found = inspection.attribution(model, X, TARGET, method="gradient_x_input")
    agree(found.map, captum.InputXGradient(model).attribute(tensor(X), target=TARGET))


def test_integrated_gradients_and_their_gap(model):
    found = inspection.attribution(model, X, TARGET, baseline=BASELINE, steps=STEPS)
    theirs, gap = captum.IntegratedGradients(model).attribute(
        tensor(X), tensor(BASELINE), TARGET, n_steps=STEPS, method="riemann_middle", return_convergence_delta=True
    )
    agree(found.map, theirs)
    # Theirs is what the map explains too much.
    np.testing.assert_allclose(-found.gap, gap.detach().numpy(), atol=1e-4)


def test_occlusion_of_one_position_at_a_time(model):
    found = inspection.attribution(model, X, TARGET, method="occlusion", baseline=BASELINE)
    theirs = captum.Occlusion(model).attribute(
        torch.as_tensor(X), sliding_window_shapes=(1, D), baselines=torch.as_tensor(BASELINE), target=TARGET
    )
    # Each of a position's numbers has the whole effect.
    agree(found.map, theirs / D)


def test_smooth_gradients_in_the_mean_of_many(model):
    x = 0.3 * X
    noise = 0.1 * np.ptp(x[:1])
    found = inspection.attribution(model, x[:1], TARGET, method="smooth_grad", steps=3000)
    torch.manual_seed(0)
    theirs = captum.NoiseTunnel(captum.Saliency(model)).attribute(
        tensor(x[:1]), nt_type="smoothgrad", nt_samples=3000, stdevs=float(noise), target=TARGET, abs=False
    )
    # Two draws of the noise: the means agree as well as means of 3,000 do.
    theirs = (theirs.detach().numpy() * x[:1]).sum(-1)
    np.testing.assert_allclose(found.map, theirs, atol=0.02 * np.abs(theirs).max())


def test_attention_times_gradient():
    inputs = keras.Input((T, D))
    layer = keras_attn.MultiHeadAttention(num_heads=2, key_dim=3)
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(D, activation="gelu")(layer(inputs)))
    model = keras.Model(inputs, layers.Dense(CHANNELS)(pooled))
    (found,) = inspection.attention_x_gradient(model, X, TARGET).values()

    def from_weights(weights):
        hidden = layer.compute_mix(weights, torch.as_tensor(X), torch.as_tensor(X))
        for after in model.layers[2:]:
            hidden = after(hidden)
        return hidden

    weights = layer(X, return_attention_scores=True)[1].detach()
    np.testing.assert_allclose(ops.convert_to_numpy(from_weights(weights)), ops.convert_to_numpy(model(X)), rtol=1e-4)
    theirs = captum.InputXGradient(from_weights).attribute(weights.requires_grad_(), target=TARGET)
    np.testing.assert_allclose(found, theirs.detach().numpy(), rtol=1e-4, atol=1e-4 * np.abs(found).max())
