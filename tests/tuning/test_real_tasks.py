"""Real tasks on made-up data: what becomes of a subject's splits, what a seed draws, what is cut."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from tuning import comparison, families, measures, tasks
from tuning.tasks import real
from zoo.datasets.windows import Windows
from zoo.subjects import SUBJECTS

WORDS = ["a", "dull", "film", "fun"]
SPLITS = {"train": 67, "dev": 13, "test": 17}


def made_up_series(split):
    numbers = np.random.default_rng(SPLITS[split])
    y = np.arange(SPLITS[split], dtype="int32") % 2
    return numbers.normal(size=(len(y), 150, 1)).astype("float32"), y


def made_up_tags(split):
    lengths = [3 + row % 2 for row in range(SPLITS[split])]
    return [WORDS[:length] for length in lengths], [["DET", "ADJ", "NOUN", "NOUN"][:length] for length in lengths]


def made_up_windows(split):
    values = np.random.default_rng(SPLITS[split]).normal(50, 7, (SPLITS[split], 53, 3)).astype("float32")
    return Windows(values[:, :48], values[:, 48:], ("a", "b", "c"), np.array([50.0, 50, 50]), np.array([7.0, 7, 7]))


def made_up_images(split):
    numbers = np.random.default_rng(SPLITS[split])
    return numbers.integers(0, 256, (SPLITS[split], 8, 12, 1)).astype("uint8"), np.arange(SPLITS[split]) % 10


def made_up_speech(split):
    numbers = np.random.default_rng(SPLITS[split])
    waves = [numbers.integers(-99, 99, 800 + 80 * (row % 7)).astype("int16") for row in range(SPLITS[split])]
    return waves, np.arange(SPLITS[split]) % 10


def made_up_play(split):
    return "to be or not to be, " * (SPLITS[split] // 2)


def made_up_words(split):
    return ["AB", "CAB", "BACA"] * 4, [["EY B"], ["K AE B", "K EY B"], ["B EY K AH"]] * 4


MADE_UP = {
    "ucr_gunpoint": made_up_series,
    "ud_ewt": made_up_tags,
    "etth1": made_up_windows,
    "fashion_mnist": made_up_images,
    "cmudict": made_up_words,
    "fsdd": made_up_speech,
    "tinyshakespeare": made_up_play,
}


#: What subjects say of the sizes of their data.
SIZES = {"etth1": {"horizon": 5}, "fashion_mnist": {"image_shape": (8, 12, 1)}}


@pytest.fixture(autouse=True)
def made_up(monkeypatch, tmp_path):
    """Subjects that read made-up data, and a place of their own for what is learnt."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, read in MADE_UP.items():
        monkeypatch.setitem(SUBJECTS, name, dataclasses.replace(SUBJECTS[name], read=read, **SIZES.get(name, {})))


@pytest.fixture
def pieces(tmp_path):
    """Word pieces as if learnt before: to learn them takes seconds."""
    folder = tmp_path / "keras_attn" / "vocabularies"
    folder.mkdir(parents=True)
    (folder / "ud_ewt.4000.vocabulary.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]))


def test_each_row_is_of_a_subject_and_its_options():
    for name, row in real.ROWS.items():
        assert set(row.options) <= set(SUBJECTS[name].OPTIONS), name
        assert row.claim is None or (row.claim in real.CLAIMS and row.why), name
    assert {row.claim for row in real.ROWS.values()} == {None, *real.CLAIMS}


def test_every_real_task_has_as_many_of_each_kind_a_hybrid_and_a_control():
    for task in tasks.REAL.values():
        kinds = [family.kind for family in families.make_all(task.mixers)]
        assert sorted(kinds) == ["control", "explicit", "explicit", "hybrid", "implicit", "implicit"], task.name
        assert measures.get(task.measure) and task.learning_rates == tuple(sorted(task.learning_rates))


def test_the_seed_draws_what_is_held_out_and_never_the_test():
    task = tasks.get("ucr_gunpoint")
    first, again, other = (task.data(seed) for seed in (3, 3, 5))
    assert first.checksum() == again.checksum() != other.checksum()
    np.testing.assert_array_equal(first.test.x, other.test.x)
    # Of 34 and 33 series of each class every fifth.
    assert np.bincount(first.valid.y).tolist() == [6, 6] and len(first.train) == 67 - 12
    rows = {row.tobytes() for split in (first.train, first.valid) for row in split.x}
    assert len(rows) == 67


def test_a_part_to_train_on_is_drawn_by_the_seed(monkeypatch):
    monkeypatch.setitem(real.ROWS, "fashion_mnist", dataclasses.replace(real.ROWS["fashion_mnist"], train=31))
    first, other = (tasks.get("fashion_mnist").data(seed) for seed in (0, 1))
    assert len(first.train) == 31 and not np.array_equal(first.train.x, other.train.x)
    np.testing.assert_array_equal(first.valid.x, other.valid.x)
    np.testing.assert_array_equal(first.test.x, other.test.x)


def test_tags_are_asked_for_at_words_alone(pieces):
    data = tasks.get("ud_ewt").data(0)
    assert data.train.x["token_ids"].shape == data.train.y.shape == data.train.weight.shape == (67, 48)
    assert data.train.weight.sum() == 67 * 3 + 33
    right = np.eye(17)[data.test.y]
    assert measures.score("accuracy", data.test, right) == 1.0


def test_a_token_is_foretold_from_those_before_it_in_its_window():
    task = tasks.get("tinyshakespeare")
    x, y, weight = (lambda split: (split.x, split.y, split.weight))(task.data(0).test)
    ids, mask = x["token_ids"], x["padding_mask"]
    assert ids.shape == y.shape == weight.shape == (3, 64)
    np.testing.assert_array_equal(y[:, :-1], ids[:, 1:])
    # Each window has one token that nothing foretells: its first.
    assert weight.sum() == mask.sum() - 3 and not weight[:, -1].any() and not weight[mask == 0].any()
    assert task.causal


def test_a_decoder_is_told_the_truth_and_asked_for_what_follows():
    x, y, weight = (lambda split: (split.x, split.y, split.weight))(tasks.get("cmudict").data(0).train)
    assert set(x) == {f"{part}_{what}" for part in ("encoder", "decoder") for what in ("token_ids", "padding_mask")}
    np.testing.assert_array_equal(x["decoder_token_ids"][:, 1:], y[:, :-1])
    # Two, three and four sounds, and an end behind each; of several pronunciations the first.
    assert weight.sum() == 4 * (3 + 4 + 5)


@pytest.mark.parametrize(
    ("mixer", "encoder", "decoder", "reader"),
    [
        ("multi_head", ["multi_head"], ["multi_head"], "multi_head"),
        ({"mixer": "gru", "bidirectional": True}, [{"mixer": "gru", "bidirectional": True}], [{"mixer": "gru"}], None),
        (("gru", "multi_head"), ["gru"], ["gru"], "multi_head"),
        ("identity", ["identity"], ["identity"], None),
    ],
)
def test_what_is_explicit_reads_the_source_and_what_is_not_has_a_summary(mixer, encoder, decoder, reader):
    backbone = tasks.get("cmudict").model(mixer, 8, 0.0).backbone
    assert (backbone.encoder_mixer, backbone.decoder_mixer, backbone.reader) == (encoder, decoder, reader)


def test_spoken_words_are_frames_of_sound():
    data = tasks.get("fsdd").data(0)
    assert data.train.x["frames"].shape[::2] == (67, 40) and data.train.y.shape == (67,)


def test_forecasts_are_in_standard_units():
    data = tasks.get("etth1").data(0)
    assert data.test.y.shape == (17, 5, 3) and data.test.y.dtype == np.float32
    np.testing.assert_allclose(data.test.y * 7 + 50, made_up_windows("test").y, rtol=1e-5)
    # Windows begin at each step and are five steps long.
    assert data.test.group.tolist() == [number // 5 for number in range(17)]
    assert data.train.group is None


@pytest.mark.skipif(not os.environ.get("KERAS_ATTN_DATA"), reason="needs $KERAS_ATTN_DATA")
@pytest.mark.parametrize("name", ["mitbih_beats", "mitbih_strips"])
def test_what_is_of_one_patient_is_drawn_together(name):
    test = tasks.get(name).data(0).test
    assert len(test.group) == len(test) and measures.units(test) == 22


@pytest.mark.parametrize("name", MADE_UP)
def test_a_model_with_any_mixer_answers_as_its_split_asks(name, pieces):
    task = tasks.get(name)
    few = task.data(0).valid.take(slice(5))
    for mixer in ("multi_head", ["gated_conv", "identity"]):
        model = task.model(mixer, 8, 0.1)
        outputs = keras.ops.convert_to_numpy(model(few.x))
        assert measures.score(task.measure, few, outputs) <= 1.0
        assert model.backbone.hidden_dim == 8


def test_of_a_shorter_series_the_end_is_read_in_whole_patches_and_of_a_text_the_start(pieces):
    whole, half = tasks.get("ucr_gunpoint").data(0), real.task("ucr_gunpoint", length=0.5).data(0)
    # Of 25 patches of 6 steps 12.
    assert half.test.x.shape[1] == 72
    # Alike but for the mean and deviation of what is left.
    assert np.corrcoef(whole.test.x[:, -72:].ravel(), half.test.x.ravel())[0, 1] == pytest.approx(1.0)
    assert real.task("etth1", length=0.5).data(0).test.x.shape == (17, 24, 3)
    short = real.task("ud_ewt", length=0.25).data(0)
    assert short.train.x["token_ids"].shape == (67, 12)
    model = real.task("ucr_gunpoint", length=0.5).model("gru", 8, 0.0)
    assert tuple(model(half.test.x).shape) == (17, 2)


def test_steps_that_fill_no_patch_are_left_away_at_the_start(monkeypatch):
    cut = {**real.ROWS["ucr_gunpoint"].backbone, "patch_size": 7}
    monkeypatch.setitem(real.ROWS, "ucr_gunpoint", dataclasses.replace(real.ROWS["ucr_gunpoint"], backbone=cut))
    assert tasks.get("ucr_gunpoint").data(0).test.x.shape == (17, 147, 1)


def test_an_image_has_no_length():
    with pytest.raises(ValueError, match="its examples are no texts and no series"):
        real.task("fashion_mnist", length=0.5).data(0)


def test_an_unknown_subject_shows_near_ones():
    with pytest.raises(ValueError, match="Did you mean 'ud_ewt'"):
        real.task("ud_ewd")


@pytest.mark.parametrize("name", sorted(set(real.ROWS) - set(MADE_UP)))
def test_missing_data_is_said_before_anything_starts(name, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_ATTN_DATA", raising=False)
    monkeypatch.setenv("KERAS_ATTN_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_ATTN_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError, match=r"Set \$KERAS_ATTN_DATA to the directory that holds " + real.ROWS[name].folder
    ):
        comparison.compare(name, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_search_of_a_part_of_each_example_is_another_search():
    data = tasks.get("ucr_gunpoint").data(0)
    searches = [comparison.describe(real.task("ucr_gunpoint", length), data, 0, None) for length in (1.0, 0.5)]
    assert searches[0]["model"] == "tuning.tasks.real.model(subject='ucr_gunpoint')"
    assert searches[1]["model"] == "tuning.tasks.real.model(subject='ucr_gunpoint', length=0.5)"
