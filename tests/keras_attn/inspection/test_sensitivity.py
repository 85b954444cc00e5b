import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
from keras_attn import inspection
from keras_attn.inspection import _entrance

B, T, D = 2, 5, 3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def by_differences(function, x, step=1e-2):
    """∂function(x) / ∂x `(B, ..., S, D)`, by differences, one number of x after the other."""
    found = []
    for s in range(x.shape[1]):
        for d in range(x.shape[2]):
            moved = [np.array(x) for _ in range(2)]
            moved[0][:, s, d] += step
            moved[1][:, s, d] -= step
            more, less = (numpy(function(each)).astype("float64") for each in moved)
            found.append((more - less) / (2 * step))
    return np.stack(found, axis=-1).reshape(*found[0].shape, *x.shape[1:])


MODELS = {
    "gru": lambda: layers.GRU(4, return_sequences=True),
    "attention": lambda: keras_attn.MultiHeadAttention(num_heads=1),
    "convolution": lambda: layers.Conv1D(4, 3, padding="causal", activation="tanh"),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_agrees_with_differences(name):
    model, x = keras.Sequential([MODELS[name]()]), normal(B, T, D)
    model(x)
    slopes = by_differences(model, x)
    found = inspection.sensitivity(model, x, reduce=None)
    np.testing.assert_allclose(found, slopes, atol=2e-3)
    np.testing.assert_allclose(inspection.sensitivity(model, x), np.sqrt(np.square(slopes).sum(axis=(2, 4))), atol=5e-3)
    np.testing.assert_allclose(inspection.sensitivity(model, x, reduce="sum"), slopes.sum(axis=(2, 4)), atol=1e-2)


def test_a_few_rows_at_a_time_are_all_rows_at_once(monkeypatch):
    model, x = layers.GRU(4, return_sequences=True), normal(B, T, D)
    model(x)
    whole = inspection.sensitivity(model, x)
    monkeypatch.setattr(_entrance, "ROOM", 3 * x.nbytes)
    np.testing.assert_allclose(inspection.sensitivity(model, x), whole, rtol=1e-5)


@pytest.mark.parametrize("reduce", ["norm", "sum", None])
@pytest.mark.parametrize("length", [3, 13])
def test_a_causal_model_by_pieces_is_the_whole(reduce, length):
    model, x = keras.Sequential([layers.GRU(4, return_sequences=True), MODELS["convolution"]()]), normal(B, length, D)
    model(x)
    found = inspection.sensitivity(model, x, reduce=reduce, causal=True)
    np.testing.assert_allclose(found, inspection.sensitivity(model, x, reduce=reduce), atol=1e-6)


def test_a_causal_model_of_words_by_pieces_and_one_answer():
    ids = keras.Input((None,), dtype="int32")
    hidden = keras_attn.Recurrent("gru")(layers.Embedding(11, D, mask_zero=True)(ids))
    model, x = keras.Model(ids, layers.Dense(2)(hidden)), [[4, 2, 9, 1, 7, 0, 0]]
    x = np.array(x)
    found = inspection.sensitivity(model, x, output=1, causal=True)
    np.testing.assert_allclose(found, inspection.sensitivity(model, x, output=1), atol=1e-6)


def test_a_model_that_is_not_causal_is_not_taken_for_one():
    model, x = keras.Sequential([layers.Bidirectional(layers.GRU(4, return_sequences=True))]), normal(B, T, D)
    model(x)
    with pytest.raises(ValueError, match="not causal"):
        inspection.sensitivity(model, x, causal=True)
    with pytest.raises(ValueError, match=r"outputs of shape \(2, 4\)"):
        inspection.sensitivity(keras.Sequential([layers.GRU(4)]), x, causal=True)


def text_model(classes=4):
    ids = keras.Input((None,), dtype="int32")
    hidden = layers.Embedding(11, D, mask_zero=True, name="words")(ids)
    hidden = layers.add([hidden, keras_attn.Recurrent("gru")(hidden)])
    return keras.Model(ids, layers.Dense(classes)(keras_attn.AttentionPooling()(hidden)))


def test_words_are_differentiated_by_their_vectors_and_padding_gets_nothing():
    model, ids = text_model(), np.array([[4, 2, 9, 0, 0], [3, 3, 5, 1, 7]])
    found = inspection.sensitivity(model, ids)
    assert found.shape == (2, 5)
    assert np.all(found[0, 3:] == 0.0) and np.all(found[0, :3] > 0.0) and np.all(found[1] > 0.0)
    # The same by hand: each vector of the table is one position's, for no word is there twice.
    table = model.get_layer("words").embeddings
    whole, values = inspection.sensitivity(model, ids[:1], reduce=None)[0], numpy(table)
    for place, word in enumerate(ids[0, :3]):
        for channel in range(D):
            answers = []
            for step in (1e-2, -1e-2):
                moved = np.array(values)
                moved[word, channel] += step
                table.assign(moved)
                answers.append(numpy(model(ids[:1]))[0].astype("float64"))
            table.assign(values)
            np.testing.assert_allclose(whole[:, place, channel], (answers[0] - answers[1]) / 2e-2, atol=2e-3)


def test_one_answer_or_what_a_function_makes_of_them():
    model, ids = text_model(), np.array([[4, 2, 9]])
    whole = inspection.sensitivity(model, ids, reduce=None)
    for channel in (1, -1):
        one = inspection.sensitivity(model, ids, output=channel, reduce=None)
        np.testing.assert_allclose(one[:, 0], whole[:, channel], atol=1e-6)
    margin = inspection.sensitivity(model, ids, output=lambda y: y[:, 1] - y[:, 0], reduce=None)
    np.testing.assert_allclose(margin[:, 0], whole[:, 1] - whole[:, 0], atol=1e-6)


def test_any_layer_s_output_may_be_what_it_is_differentiated_by():
    model = keras.Sequential([layers.Dense(4, name="first"), layers.GRU(3, name="second"), layers.Dense(2)])
    x = normal(B, T, D)
    model(x)
    found = inspection.sensitivity(model, x, at="first", reduce=None)
    rest = keras.Sequential(model.layers[1:])
    np.testing.assert_allclose(found, inspection.sensitivity(rest, numpy(model.layers[0](x)), reduce=None), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_what_comes_behind_the_layer_gets_the_precision_that_it_had(policy):
    words, places = (layers.Embedding(5, 3, name=name, dtype=policy) for name in ("words", "places"))

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.words, self.places = words, places

        def call(self, ids):
            return ops.mean(ops.square(self.words(ids) + self.places(ids)), axis=1)

    model, ids = Model(), np.array([[1, 2, 3]])
    model(ids)
    assert np.all(inspection.sensitivity(model, ids, at="words") > 0.0)


def test_a_number_that_is_no_output_s_is_refused():
    dense = layers.Dense(2)
    dense.build((None, None, 3))
    for output in (2, -3):
        with pytest.raises(ValueError, match=rf"no such number among 2. Received: output={output}"):
            inspection.sensitivity(dense, normal(1, 2, 3), output=output)


def test_one_array_may_come_in_the_form_that_the_model_takes_it_in():
    inputs = {"series": keras.Input((4, 3), name="series")}
    model, x = keras.Model(inputs, layers.Dense(2)(inputs["series"])), normal(B, 4, 3)
    found = inspection.sensitivity(model, {"series": x})
    np.testing.assert_array_equal(found, inspection.sensitivity(model.layers[-1], x))
    pair = [keras.Input((4, 3)), keras.Input((4, 3))]
    two = keras.Model(pair, layers.add(pair))
    with pytest.raises(ValueError, match="More than one array goes in"):
        inspection.sensitivity(two, [x, x])


def test_what_cannot_be_differentiated_is_said_before_anything_runs():
    ids = np.array([[1, 2]])
    inputs = keras.Input((None,), dtype="int32")
    two = layers.add([layers.Embedding(5, 3, name="words")(inputs), layers.Embedding(5, 3, name="tags")(inputs)])
    model = keras.Model(inputs, two)
    with pytest.raises(ValueError, match=r"not exactly one embedding.*2 among words, tags"):
        inspection.sensitivity(model, ids)
    assert inspection.sensitivity(model, ids, at="tags").shape == (1, 2, 2)
    with pytest.raises(ValueError, match=r"name or path 'tag'"):
        inspection.sensitivity(model, ids, at="tag")
    with pytest.raises(ValueError, match="reduce"):
        inspection.sensitivity(model, ids, at="tags", reduce="mean")
    with pytest.raises(ValueError, match=r"positions: vectors .*\(2,\)"):
        inspection.sensitivity(layers.Activation("tanh"), normal(2))


def test_pixels_are_positions_row_after_row_and_numbers_are_positions():
    x = normal(2, 4, 5, 2)
    image = layers.Conv2D(3, 3, padding="same")
    image.build(x.shape)
    found = inspection.sensitivity(image, x)  # (B, H, W, S)
    assert found.shape == (2, 4, 5, 20)
    near = np.zeros((4, 5), bool)
    near[0:3, 1:4] = True
    np.testing.assert_array_equal(found[:, 1, 2] > 0.0, np.tile(near.reshape(-1), (2, 1)))
    dense = layers.Dense(3)
    dense.build((None, 5))
    kernel = ops.convert_to_numpy(dense.kernel)
    np.testing.assert_allclose(
        inspection.sensitivity(dense, normal(2, 5), output=1), np.abs(kernel[:, 1])[None].repeat(2, 0), rtol=1e-5
    )


def test_a_mask_among_the_options_of_the_call_goes_with_each_copy_and_piece():
    layer, x, mask = keras_attn.MinGRU(), normal(B, T, D), np.array([[1] * T, [1] * (T - 2) + [0] * 2], bool)
    layer(x)
    whole = inspection.sensitivity(layer, x, mask=mask)
    assert not whole[1, :, T - 2 :].any() and whole[0, -1].all()
    np.testing.assert_allclose(inspection.sensitivity(layer, x, causal=True, mask=mask), whole, atol=1e-5)
    found = inspection.attribution(layer, x, output=lambda y: y[:, 2, 0], mask=mask)
    assert found.map.shape == (B, T)


def test_what_depends_on_nothing_has_no_slope():
    x = keras.Input((T, D))
    model = keras.Model(x, ops.stop_gradient(x))
    assert not inspection.sensitivity(model, normal(B, T, D)).any()


@pytest.mark.parametrize("batch", [2, 4])
def test_a_mask_of_pairs_is_for_all_examples_however_many_they_are(batch):
    layer, x, allowed = keras_attn.MultiHeadAttention(num_heads=1), normal(batch, 4, D), np.tri(4, dtype=bool)
    layer(x)
    expected = inspection.sensitivity(layer, x, use_causal_mask=True)
    for mask in (allowed, np.tile(allowed, (batch, 1, 1)), allowed.tolist()):
        for causal in (False, True):
            found = inspection.sensitivity(layer, x, causal=causal, attention_mask=mask)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mask_may_be_a_list():
    layer, x, mask = keras_attn.MinGRU(), normal(2, 4, D), [[True, True, False, False], [True] * 4]
    layer(x)
    for causal in (False, True):
        found, expected = (
            inspection.sensitivity(layer, x, causal=causal, mask=each) for each in (mask, np.array(mask))
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_what_is_causal_is_so_in_half_precision_too(policy):
    inputs = keras.Input((None, 16))
    x = inputs
    for _ in range(3):
        x = keras_attn.MultiHeadAttention(num_heads=2, key_dim=8, dtype=policy)(x, use_causal_mask=True)
    model, both = keras.Model(inputs, x), layers.Bidirectional(layers.GRU(16, return_sequences=True, dtype=policy))
    assert inspection.sensitivity(model, normal(2, 40, 16), causal=True).shape == (2, 40, 40)
    both.build((None, 40, 16))
    with pytest.raises(ValueError, match="not causal"):
        inspection.sensitivity(both, normal(2, 40, 16), causal=True)


def test_a_row_that_has_one_number_has_one_channel():
    x = keras.Input((T, D))
    model = keras.Model(x, ops.sum(x, axis=(1, 2)))
    assert inspection.sensitivity(model, normal(3, T, D), output=0).shape == (3, T)
    found = inspection.attribution(model, normal(3, T, D), output=0, method="occlusion")
    np.testing.assert_allclose(found.map, normal(3, T, D).sum(axis=2), atol=1e-5)
    with pytest.raises(ValueError, match="among 1"):
        inspection.sensitivity(model, normal(3, T, D), output=1)


@pytest.mark.parametrize("output", [[0, 1], 1.0, True, "0"])
def test_an_output_that_is_no_channel_is_said_to_be_none(output):
    layer, x = keras_attn.MinGRU(), normal(B, T, D)
    layer(x)
    with pytest.raises(ValueError, match="a channel's number, a function or None"):
        inspection.sensitivity(layer, x, output=output)


def test_of_several_outputs_a_number_says_nothing():
    x = keras.Input((T, D))
    with pytest.raises(ValueError, match="several outputs"):
        inspection.sensitivity(keras.Model(x, [x, 2 * x]), normal(B, T, D), output=0)
