"""The examples run, and show what they say."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_layer_looks_at_the_symbol_behind_the_marker():
    assert load("01_layers").main(epochs=6) > 0.9


def test_pretrained_models_tell_praise_from_scorn():
    for praise, scorn in load("02_pretrained").main().values():
        assert praise > 0.5 > scorn


@pytest.mark.slow
def test_a_small_search_ends_with_a_verdict(tmp_path):
    result = load("03_tuning").main(tmp_path / "out", trials=1, seeds=2, epochs=1)
    # So small a budget may well show nothing, and then it must say so.
    assert result.verdict.answer in ("implicit", "explicit", "hybrid", "no difference that matters", "no verdict")
    assert result.verdict.winner in ("multi_head", "gru")
    assert (tmp_path / "out" / "report.html").exists()


def test_what_learned_to_point_three_back_looks_three_back(tmp_path):
    example = load("04_what_each_looks_at")
    found = example.main({"multi-head, rotary": example.SPECS["multi-head, rotary"]}, epochs=3, out=tmp_path / "w.png")
    weights, accuracy = found["multi-head, rotary"]
    assert accuracy > 0.95 and max(w.diagonal(-example.BACK).mean() for w in weights) > 0.5
    assert (tmp_path / "w.png").stat().st_size > 1000


def test_two_models_without_and_with_weights_are_explained_in_a_page_each(tmp_path):
    found = load("05_explain").main(tmp_path, review="not boring")
    with_weights = {name: any(look.startswith("weights of ") for look in each.looks) for name, each in found.items()}
    assert with_weights == {"mixer_multi_head_sst2": True, "mixer_gru_sst2": False}
    for name, each in found.items():
        assert each.subject == ("[CLS]", "not", "boring", "[SEP]")
        assert 'aria-label="boring"' in (tmp_path / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif("KERAS_ATTN_DATA" not in os.environ, reason="$KERAS_ATTN_DATA is not set")
def test_models_that_look_for_a_beat_are_shown_side_by_side(tmp_path):
    example = load("06_is_there_a_beat")
    models = {name: example.MODELS[name] for name in ("convolution", "multiplicative attention")}
    found, maps = example.main(tmp_path / "beat.png", models, epochs=4, strips=2000)
    assert list(maps) == ["convolution, adds", "multiplicative attention, adds", "multiplicative attention, weights"]
    assert all(each["area"] > 0.65 for each in found.values()) and found["convolution"]["weights"] is None
    assert (tmp_path / "beat.png").stat().st_size > 10_000


def test_triangles_stand_where_ventricular_beats_are_annotated(tmp_path, monkeypatch):
    """Near a strip's start and end, close together, and beside a neighbour's whose stretch reaches over."""
    places, strips = [5, 500, 530, 1195], 10
    beats = np.array([1200 * strip + place for strip in range(strips) for place in places])
    kinds = np.where(beats < 1200 * (strips - 2), 2, 0)
    (tmp_path / "mitbih_120hz").mkdir()
    for name in ("train_ds1.npz", "test_ds2.npz"):
        np.savez(
            tmp_path / "mitbih_120hz" / name,
            x=np.random.default_rng(0).integers(-200, 200, (1, 1200 * strips)).astype("int16"),
            beat_pos=beats.astype("uint32"),
            beat_aami=kinds.astype("uint8"),
            beat_offset=np.array([0, len(beats)], "uint32"),
            record=np.array([101], "uint8"),
        )
    monkeypatch.setenv("KERAS_ATTN_DATA", str(tmp_path))
    example, drawn = load("06_is_there_a_beat"), []
    monkeypatch.setattr(example, "draw_series", lambda *_, marks, **__: drawn.append(marks.tolist()))
    example.main(tmp_path / "beat.png", {"none": "identity"}, epochs=1)
    assert drawn == [places]


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    assert all(f'load("{path.stem}")' in text for path in EXAMPLES.glob("*.py"))


@pytest.mark.slow
def test_what_was_learned_before_tells_what_unknown_words_mean():
    right = load("07_fine_tune").main(epochs=12)
    assert min(right["all weights"], right["LoRA"]) > 0.9 > right["from scratch"]
