"""What a model looks at, from a name and a file to a page."""

import re
import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attn
import zoo
from keras_attn import inspection
from tests.zoo.helpers import CLASSES, PIECES, image_backbone, text_backbone, text_classifier
from zoo import reading, store

TEXT = "not good , a dull film"
T, C = 13, 2
LABELS = ("[CLS]", "not", "good", "[UNK]", "a", "dull", "film", "[SEP]")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def series_model(*, answers=3, width=7):
    inputs = keras.Input((T, C))
    x = layers.Dense(width, name="states")(inputs)
    x = layers.add([x, keras_attn.AdditiveAttention(units=5, name="look")(x)])
    return keras.Model(inputs, layers.Dense(answers)(layers.GlobalAveragePooling1D()(x)))


def image_model():
    """A convolution whose four by six cells are looked over."""
    inputs = keras.Input((8, 12, 3))
    x = layers.Conv2D(5, 2, strides=2, activation="tanh")(inputs)
    x = layers.Reshape((24, 5))(x)
    x = keras_attn.MultiplicativeAttention(name="look")(x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize("mixer", ["additive", "gru"])
def test_a_text_is_explained_by_its_pieces_without_the_padding(mixer):
    model = text_classifier(mixer)
    found = zoo.explain(model, TEXT, method="gradient_x_input")
    assert (found.kind, found.subject) == ("text", LABELS)
    count = len(LABELS)
    assert found.looks["sensitivity of each position"].shape == (1, count, count)
    assert {len(each) for each in found.parts.values()} == {count}
    weights = [each for name, each in found.looks.items() if name.startswith("weights of ")]
    assert [each.shape for each in weights] == ([(1, count, count)] * 2 if mixer == "additive" else [])
    assert any("computes weights" in note for note in found.notes) == (mixer == "gru")


def test_what_mixes_without_weights_shows_the_size_of_its_matrix():
    inputs = keras.Input((T, C))
    x = keras_attn.MinGRU(name="memory")(layers.Dense(5)(inputs))
    model, x = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), normal(T, C)
    found = zoo.explain(model, x, method="gradient_x_input").looks
    matrix = inspection.implicit_weights(model, x[None])["memory"].matrix
    np.testing.assert_allclose(found["mixing of memory"][0], np.abs(matrix[0]).mean(axis=0), rtol=1e-5)


def test_the_maps_are_those_of_the_inspection_of_the_largest_output():
    model, x = series_model(), normal(T, C)
    found = zoo.explain(model, x)
    answers = ops.convert_to_numpy(model(x[None]))[0]
    best = int(answers.argmax())
    assert found.answer == f"Output {best} of 3: {answers[best]:.3g}, the largest."
    shares = inspection.attribution(model, x[None], output=best)
    np.testing.assert_allclose(found.parts["integrated gradients"], shares.map[0], rtol=1e-5)
    slopes = inspection.sensitivity(model, x[None], output=best)[0]
    np.testing.assert_allclose(found.parts["sensitivity of the answer"], slopes, rtol=1e-5)
    weights = inspection.weights(model, x[None])["look"]
    np.testing.assert_allclose(found.looks["weights of look"], weights, rtol=1e-5)


def test_a_series_with_missing_numbers_is_explained_by_what_stands_for_them(tmp_path):
    backbone = zoo.MixerSeriesBackbone(C, marks_missing=True, hidden_dim=7, num_layers=1, mixer="additive")
    model, x = zoo.MixerSeriesClassifier(backbone, 3), normal(T, C)
    x[4, 1] = np.nan
    found = zoo.explain(model, x, out=tmp_path / "look.png", method="gradient_x_input")
    slopes = inspection.sensitivity(model, x[None], output=int(found.answer.split()[1]), at="missing")[0]
    np.testing.assert_allclose(found.parts["sensitivity of the answer"], slopes, rtol=1e-5)
    with pytest.raises(ValueError, match="no series with missing numbers"):
        zoo.explain(series_model(), x)


def test_a_series_that_is_standardised_by_itself_is_explained_behind_that():
    backbone = zoo.MixerSeriesBackbone(C, standardize=True, hidden_dim=7, num_layers=1, mixer="gated_conv")
    model, x = zoo.MixerSeriesClassifier(backbone, 3), 5 + normal(T, C)
    found = zoo.explain(model, x)
    shares = inspection.attribution(model, x[None], output=int(found.answer.split()[1]), at="standardize")
    np.testing.assert_allclose(found.parts["integrated gradients"], shares.map[0], rtol=1e-4)
    # So they add up to the answer less that for nothing.
    assert abs(shares.gap[0]) < 0.02 * np.abs(shares.map[0]).sum()


def test_another_output_can_be_explained():
    model, x = series_model(), normal(T, C)
    answers = ops.convert_to_numpy(model(x[None]))[0]
    worst = int(answers.argmin())
    found = zoo.explain(model, x, output=worst, method="occlusion")
    assert found.answer.startswith(f"Output {worst} of 3") and f"the largest is {answers.argmax()}" in found.answer
    expected = inspection.attribution(model, x[None], output=worst, method="occlusion").map[0]
    np.testing.assert_allclose(found.parts["occlusion"], expected, rtol=1e-5, atol=1e-7)


def test_pixels_of_an_image_are_counted_together_in_cells():
    model, image = image_model(), normal(8, 12, 3)
    found = zoo.explain(model, image, output=1)
    assert found.kind == "image" and found.grid == (4, 6)
    assert found.looks["weights of look"].shape == found.looks["sensitivity of each position"].shape == (1, 24, 24)

    def of_pixels(x, **options):
        return model(ops.reshape(x, (-1, 8, 12, 3)), **options)

    pixels = inspection.sensitivity(of_pixels, image.reshape(1, 96, 3), output=1)[0].reshape(8, 12)
    cells = np.array([[pixels[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for j in range(6)] for i in range(4)])
    expected = np.sqrt((cells**2).sum(axis=(2, 3))).ravel()
    np.testing.assert_allclose(found.parts["sensitivity of the answer"], expected, rtol=1e-4)
    shares = inspection.attribution(of_pixels, image.reshape(1, 96, 3), output=1)
    np.testing.assert_allclose(found.parts["integrated gradients"].sum(), shares.map.sum(), rtol=1e-3)


def test_an_image_of_a_zoo_model_is_explained_by_its_patches():
    model = zoo.MixerImageClassifier(image_backbone("gated_conv"), CLASSES)
    found = zoo.explain(model, normal(6, 10, 3), method="gradient_x_input")
    assert found.grid == (3, 5) and found.looks["sensitivity of each position"].shape == (1, 15, 15)


def test_a_long_series_is_cut_into_spans():
    inputs = keras.Input((None, 1))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalMaxPooling1D()(layers.Conv1D(3, 5)(inputs))))
    x = np.zeros(640, dtype="float32")
    x[321:324] = 3.0
    found = zoo.explain(model, x, method="gradient_x_input")
    assert found.parts["gradient x input"].shape == (64,)
    assert found.parts["gradient x input"].nonzero()[0].tolist() == [32]
    assert "1 numbers" not in found.answer and found.answer.startswith("The model answers ")


def test_a_model_that_answers_at_each_position_shows_where_each_answer_comes_from():
    preprocessor = zoo.MixerTextClassifierPreprocessor(zoo.MixerTokenizer(PIECES), sequence_length=11)
    model = zoo.MixerTagger(text_backbone("gru"), CLASSES, preprocessor=preprocessor)
    found = zoo.explain(model, TEXT, output=2)
    packed = {name: ops.convert_to_numpy(each)[:, :8] for name, each in preprocessor([TEXT]).items()}
    expected = inspection.sensitivity(model, packed, output=2)[0]
    np.testing.assert_allclose(found.looks["sensitivity of each position"][0], expected, rtol=1e-4, atol=1e-6)
    assert found.parts == {}


def test_weights_over_other_places_are_left_out_and_named():
    inputs = keras.Input((T, C))
    x = keras_attn.mixers.get("key_value_memory", name="slots")(layers.Dense(8)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    found = zoo.explain(model, normal(T, C), method="gradient_x_input")
    slots = inspection.weights(model, normal(1, T, C))["slots"].shape[-1]
    assert slots != T
    assert any("slots" in note and str(slots) in note for note in found.notes)
    assert "weights of slots" not in found.looks


def test_of_a_model_of_one_length_the_padding_is_not_shown():
    preprocessor = zoo.MixerTextClassifierPreprocessor(zoo.MixerTokenizer(PIECES), sequence_length=11)
    backbone = text_backbone("additive", sequence_length=11, num_layers=1)
    model = zoo.MixerTextClassifier(backbone, CLASSES, preprocessor=preprocessor)
    found = zoo.explain(model, "not good", method="gradient_x_input")
    assert found.subject == ("[CLS]", "not", "good", "[SEP]")
    (weights,) = (each for name, each in found.looks.items() if name.startswith("weights of "))
    assert weights.shape == found.looks["sensitivity of each position"].shape == (1, 4, 4)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
    assert {each.shape for each in found.parts.values()} == {(4,)}


def test_a_series_whose_positions_are_fewer_within_the_model_is_cut_into_as_many():
    inputs = keras.Input((26, C))
    x = layers.AveragePooling1D(2)(inputs)
    x = keras_attn.AdditiveAttention(units=5, name="look")(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))
    found = zoo.explain(model, normal(26, C), method="gradient_x_input")
    assert found.looks["weights of look"].shape == found.looks["sensitivity of each position"].shape == (1, T, T)
    whole = inspection.attribution(model, normal(1, 26, C), output=0, method="gradient_x_input").map[0]
    np.testing.assert_allclose(found.parts["gradient x input"], whole.reshape(T, 2).sum(axis=1), rtol=1e-4, atol=1e-6)


def test_a_forecaster_told_what_is_ahead_is_explained_by_its_series(tmp_path):
    preprocessor = zoo.MixerSeriesPreprocessor([5.0, 0.0], [3.0, 1.0], sequence_length=T, targets=[0], ahead=[1])
    stack = zoo.MixerSeriesBackbone(2, sequence_length=T, hidden_dim=5, num_layers=1, mixer="additive")
    model = zoo.MixerForecaster(stack, 3, [0], preprocessor=preprocessor, ahead=[1])
    found = zoo.explain(model, {"series": normal(T + 2, 2), "ahead": normal(3, 1)}, out=tmp_path / "look.png")
    assert found.answer == "The model forecasts 3 numbers, 1 a step."
    assert [look.shape for look in found.looks.values()] == [(1, T, T)]
    assert [part.shape for part in found.parts.values()] == [(T,), (T,)]
    rows = normal(T + 3, 2)
    told = {"series": rows[:-3], "ahead": rows[-3:, 1:]}
    whole = zoo.explain(model, np.where(np.arange(T + 3)[:, None] < T, rows, [np.nan, 1] * rows))
    for part, expected in zip(whole.parts.values(), zoo.explain(model, told).parts.values(), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"told columns \[1\], counted from 0, .* and 3 others filled in"):
        zoo.explain(model, rows)
    nameless = keras.Model(model.input, model.output)  # It does not say which channels are known.
    with pytest.raises(ValueError, match=r"takes a dict of arrays, \['ahead', 'series'\].* Received: ndarray"):
        zoo.explain(nameless, rows)
    with pytest.raises(ValueError, match=r"is told \(3, 1\) numbers ahead. Received: an array of \(4, 1\)"):
        zoo.explain(model, {"series": normal(T, 2), "ahead": normal(4, 1)})


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("channel, horizon", [(None, 3), (1, T)])
def test_what_a_forecast_depends_on_is_shown_whatever_attends(standardize, channel, horizon):
    """A forecaster of each channel by itself: its steps ahead stand at no step of the series, though as many."""
    stack = zoo.MixerSeriesBackbone(
        1, sequence_length=T, hidden_dim=5, num_layers=1, standardize=standardize, mixer="gru"
    )
    model = zoo.MixerForecaster(stack, horizon, pooling="flatten", channel_independent=True)
    x = normal(T, C)
    found = zoo.explain(model, x, output=channel, method="gradient_x_input")
    sensitivity, shares = found.parts.values()
    assert list(found.parts) == ["sensitivity of the forecast", "gradient x input"] and not found.looks
    jacobian = inspection.sensitivity(model, x[None], output=channel)[0]  # (horizon, T)
    np.testing.assert_allclose(sensitivity, np.sqrt((jacobian**2).sum(axis=0)), rtol=1e-4)
    taken = slice(None) if channel is None else slice(channel, channel + 1)
    mean = inspection.attribution(
        model, x[None], output=lambda y: keras.ops.mean(y[..., taken], axis=(1, 2)), method="gradient_x_input"
    )
    np.testing.assert_allclose(shares, mean.map[0], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with models and inputs of each kind."""
    folder = tmp_path_factory.mktemp("models")
    store.save(text_classifier(), folder / "preset")
    text_classifier().save(folder / "text.keras")
    series_model().save(folder / "series.keras")
    image_model().save(folder / "image.keras")
    ids = keras.Input((None,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(7, 5)(ids))
    keras.Model(ids, layers.Dense(2)(x)).save(folder / "ids.keras")
    np.save(folder / "series.npy", normal(T, C))
    np.savetxt(folder / "series.csv", normal(T, C), delimiter=",", header="flow,heat", comments="")
    np.savetxt(folder / "ids.csv", [3, 1, 4, 1, 5], fmt="%d")
    keras.utils.save_img(folder / "image.png", normal(8, 12, 3))
    return folder


@pytest.mark.parametrize(
    ("model", "given", "shown"),
    [
        ("text.keras", TEXT, "film"),
        ("series.keras", "series.npy", "time 3 to 4"),
        ("series.keras", "series.csv", "time 3 to 4"),
        ("image.keras", "image.png", "row 1, column 2"),
        ("ids.keras", "ids.csv", "5"),
    ],
)
def test_models_from_files_become_pages_and_pictures(saved, tmp_path, model, given, shown):
    given = str(saved / given) if (saved / given).exists() else given
    found = zoo.explain(str(saved / model), given, out=tmp_path / "a.html", method="gradient_x_input")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert f'aria-label="{shown}"' in text and f"<title>{model}</title>" in text
    assert "sensitivity of the answer" in text and found.answer in text
    found.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    titles = [panel.get_title() or panel.get_title(loc="left") for panel in found.picture().axes]
    strips = [text.get_text() for panel in found.picture().axes for text in panel.texts]
    assert "sensitivity of the answer" in titles + strips


def test_a_directory_of_a_preset_is_a_model_too(saved):
    assert zoo.explain(saved / "preset", TEXT, method="gradient_x_input").subject == LABELS


def test_both_ways_to_write_a_series_are_read_alike(saved):
    one, other = (zoo.explain(saved / "series.keras", saved / f"series.{ending}") for ending in ("npy", "csv"))
    np.testing.assert_allclose(one.subject, other.subject, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "given", "out", "error", "said"),
    [
        ("mixer_gru_sst3", TEXT, "a.html", ValueError, "Did you mean 'mixer_gru_sst2'"),
        ("none.keras", TEXT, "a.html", FileNotFoundError, "no model 'none.keras'"),
        ("mixer_gru_sst2", "none.csv", "a.html", FileNotFoundError, "no file 'none.csv'"),
        ("mixer_gru_sst2", TEXT, "no/such/a.html", FileNotFoundError, "no folder 'no/such'"),
        ("mixer_gru_sst2", TEXT, "a.gif", ValueError, r"ends in one of .html.*Received: 'a.gif'"),
    ],
)
def test_what_is_not_there_is_said_before_a_model_is_loaded(monkeypatch, model, given, out, error, said):
    monkeypatch.setattr(store, "load", lambda name: pytest.fail("loaded"))
    with pytest.raises(error, match=said):
        zoo.explain(model, given, out=out)


def test_arguments_are_checked_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setattr(store, "load", lambda name: pytest.fail("loaded"))
    with pytest.raises(ValueError, match="Unknown method 'saliency'"):
        zoo.explain("mixer_gru_sst2", TEXT, method="saliency")
    with pytest.raises(ValueError, match="`output`"):
        zoo.explain("mixer_gru_sst2", TEXT, output=-1)


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (series_model, "a text", "takes no texts.*'a text'"),
        (series_model, normal(T, C + 1), r"series of shape \(13, 2\). Received.*\(13, 3\)"),
        (image_model, normal(8, 13, 3), r"images of shape \(8, 12, 3\). Received.*\(8, 13, 3\)"),
        (text_classifier, "  ", "takes a text"),
        (text_classifier, normal(T, C), "takes a text"),
    ],
)
def test_an_input_of_another_kind_is_refused(make, given, said):
    with pytest.raises(ValueError, match=said):
        zoo.explain(make(), given)
    with pytest.raises(ValueError, match=r"has 3 outputs, from 0. Received: output=3"):
        zoo.explain(series_model(), normal(T, C), output=3)


def test_an_input_without_a_finite_answer_is_refused():
    with pytest.raises(ValueError, match="must answer with finite numbers"):
        zoo.explain(series_model(), np.full((T, C), np.inf, "float32"))


def test_a_model_of_words_need_not_have_said_that_they_are_whole_numbers():
    inputs = keras.Input((None,))
    hidden = layers.Embedding(9, 4)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.GRU(4)(hidden)))
    assert zoo.explain(model, np.array([1, 2, 8])).kind == "text"


def test_a_file_that_carries_code_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((T, C)), layers.Lambda(lambda x: x, output_shape=(T, C))])
    model.save(tmp_path / "lambda.keras")
    np.save(tmp_path / "x.npy", normal(T, C))
    with pytest.raises(zoo.PresetError, match="layers that carry code are refused"):
        zoo.explain(tmp_path / "lambda.keras", tmp_path / "x.npy")
    (tmp_path / "broken.keras").write_bytes(b"nothing")
    with pytest.raises(zoo.PresetError, match=r"is not a .keras file"):
        zoo.explain(tmp_path / "broken.keras", tmp_path / "x.npy")


def test_classes_of_other_packages_are_refused(saved, tmp_path):
    with zipfile.ZipFile(saved / "series.keras") as source, zipfile.ZipFile(tmp_path / "a.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = re.sub(rb'"module": "keras.layers"', b'"module": "os"', content)
            target.writestr(name, content)
    with pytest.raises(zoo.PresetError, match="only classes of keras"):
        zoo.explain(tmp_path / "a.keras", saved / "series.npy")


def test_pickles_and_texts_are_not_read_as_numbers(saved, tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "b.csv").write_text("1,2\n3,four\n")
    for name in ("a.npy", "b.csv"):
        with pytest.raises(ValueError, match=f"{name}' cannot be read as numbers"):
            zoo.explain(saved / "series.keras", tmp_path / name)


def test_a_sequential_model_is_explained():
    model = keras.Sequential([keras.Input((T, C)), layers.LSTM(4, return_sequences=True), layers.LSTM(3)])
    found = zoo.explain(model, normal(T, C), method="gradient_x_input")
    assert found.looks["sensitivity of each position"].shape == (1, T, T)


@pytest.mark.parametrize("ids", [[1, 2, 300], [1, -1, 2], [1.0, 2.5, 3.0], [1.0, np.nan, 2.0]])
def test_numbers_that_are_no_words_of_the_model_are_refused(ids):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(20, 4), layers.GRU(3)])
    with pytest.raises(ValueError, match="whole numbers from 0 to 19"):
        zoo.explain(model, np.array(ids))


def test_the_classes_of_a_card_are_named(tmp_path):
    zoo.save(text_classifier(), tmp_path / "preset", card={"name": "x", "classes": list("abcde")})
    found = zoo.explain(str(tmp_path / "preset"), "good film", method="gradient_x_input")
    number = int(found.answer.split()[1])
    assert found.answer.startswith(f"Output {number} ({'abcde'[number]!r}) of 5")


def test_a_model_of_plain_numbers_is_explained():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(2)])
    found = zoo.explain(model, np.arange(6.0))
    assert found.kind == "series" and found.parts["integrated gradients"].shape == (6,)
    with pytest.raises(ValueError, match=r"series of shape \(6, 1\)"):
        zoo.explain(model, np.arange(7.0))


def test_numbers_of_own_data_are_explained_in_their_unit(tmp_path):
    task = zoo.MixerTextClassifier(text_backbone("additive"), 1, preprocessor=text_classifier().preprocessor)
    folders = tmp_path / "plain", tmp_path / "own"
    for folder, form in zip(folders, ({}, {"form": {"mean": 100.0, "deviation": 20.0}})):
        zoo.save(task, folder, card={"name": "x", **form})
    plain, own = (zoo.explain(str(folder), "good film", method="gradient_x_input") for folder in folders)
    for name, part in plain.parts.items():
        np.testing.assert_allclose(own.parts[name], 20.0 * part, rtol=1e-5)
    said = [float(found.answer.rstrip(".").split()[-1]) for found in (plain, own)]
    assert said[1] == pytest.approx(20.0 * said[0] + 100.0, rel=1e-2)


def test_what_is_read_is_not_written_over_and_a_folder_is_no_file(tmp_path):
    import PIL.Image

    PIL.Image.new("RGB", (12, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.html").mkdir()
    with pytest.raises(ValueError, match="would be written over"):
        zoo.explain(image_model(), tmp_path / "a.png", out=str(tmp_path / "a.png"))
    with pytest.raises(ValueError, match="it is a folder"):
        zoo.explain(image_model(), tmp_path / "a.png", out=tmp_path / "b.html")


def test_a_model_file_in_capitals_and_empty_files_are_said_to_be_so(tmp_path):
    for name in ("M.KERAS", "a.csv", "a.wav"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="in small letters"):
        zoo.explain(str(tmp_path / "M.KERAS"), normal(T, C))
    with pytest.raises(ValueError, match="an empty file"):
        zoo.explain(series_model(), tmp_path / "a.csv")
    with pytest.raises(ValueError, match="ends too early"):
        reading.read_sound(tmp_path / "a.wav", 8000)
