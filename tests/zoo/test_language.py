import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import decoding, mixers
from tests.zoo.helpers import CAUSAL, VOCABULARY, B, T, fresh_process, text_backbone, token_batch

TEXT = "to be or not to be that is the question"
CAN_STEP = [name for name in CAUSAL if mixers.get(name).can_step and not mixers.get(name).fixed_length]
SMALL = [
    "gru",
    "min_gru",
    "gated_conv",
    "multi_head",
    {"mixer": "persistent_memory", "num_heads": 1},
    {"mixer": "segment_memory", "num_heads": 1, "segment_length": 3},
    ["gru", {"mixer": "multi_head", "num_heads": 1, "position": "rotary"}],
]


def numbers(x):
    return ops.convert_to_numpy(x)


def language_model(mixer, seed=0, **options):
    """A model without preprocessor, whose logits differ enough from each other to tell tokens apart."""
    keras.utils.set_random_seed(seed)
    own = {name: options.pop(name) for name in ("tied", "dropout") if name in options}
    model = zoo.MixerCausalLM(text_backbone(mixer, causal=True, **options), **own)
    model.set_weights([weight + np.random.normal(0, 0.3, weight.shape).astype("float32") for weight in model.get_weights()])
    return model


def step_by_step(model, token_ids):
    state, found = model.initial_state(len(token_ids), token_ids.shape[1]), []
    for place in range(token_ids.shape[1]):
        logits, state = model.step(token_ids[:, place], state)
        found.append(numbers(logits))
    return np.stack(found, axis=1)


def name_of(mixer):
    return mixer if isinstance(mixer, str) else "+".join(map(name_of, mixer)) if isinstance(mixer, list) else mixer["mixer"]


@pytest.mark.parametrize("mixer", SMALL, ids=name_of)
def test_logits_from_a_state_equal_those_all_at_once(mixer):
    model, batch = language_model(mixer), token_batch(lengths=(T, T, T))
    np.testing.assert_allclose(step_by_step(model, batch["token_ids"]), numbers(model(batch)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CAN_STEP)
def test_each_mixer_that_can_step_does_so_in_a_model(name):
    width = 4 if name in ("multi_head",) else None
    model, batch = language_model(name, hidden_dim=width or 8), token_batch(lengths=(T, T, T))
    np.testing.assert_allclose(step_by_step(model, batch["token_ids"]), numbers(model(batch)), atol=1e-4)


def without_state(model, inputs, length, sampler):
    """What `generate` gives if the model is not allowed a state."""

    class Forgetful(type(model)):
        can_step = False

    keras.utils.set_random_seed(0)
    again = Forgetful(model.backbone, preprocessor=model.preprocessor, tied=model.tied)
    again.output_dense = model.output_dense
    return generated(again, inputs, sampler)


def generated(model, inputs, sampler):
    model.compile(sampler=sampler)
    found = model.generate({name: ops.convert_to_tensor(each) for name, each in inputs.items()}, stop_token_ids=None)
    return numbers(found["token_ids"])
