"""A winner answers files of the same form, in the words of the person; nothing is trained here but once."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tuning
import zoo
from tests.tuning.own.data import pictures, review_file, reviews, tagged, write
from tuning import cli


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def preset(folder, **options):
    """A model of a task as a search would save it, but untrained."""
    task = tuning.task_from(verbose=False, **options)
    data = task.data(0)
    model = task.model("gated_conv", 8, 0.0)
    model.preprocessor = data.preprocessor
    zoo.save(model, folder, card={"name": "mine", "form": data.form})
    return model


def test_classes_are_answered_as_they_were_written(tmp_path):
    model = preset(tmp_path / "model", train=review_file(tmp_path / "a.csv"), text="review", label="stars")
    texts, _ = reviews()
    logits = model.predict(texts, verbose=0)
    path = write(tmp_path / "new.csv", {"number": np.arange(61), "review": texts})
    found = tuning.predict(tmp_path / "model", path, tmp_path / "out.csv")
    assert found["stars"].tolist() == [["con", "pro"][best] for best in logits.argmax(axis=-1)]
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found[["probability of con", "probability of pro"]], shares, atol=1e-5)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), found)
    assert tuning.predict(tmp_path / "model", texts[:2])["stars"].tolist() == found["stars"].tolist()[:2]


def test_the_data_is_not_written_over(tmp_path):
    path = tmp_path / "a.csv"
    preset(tmp_path / "model", train=review_file(path), text="review", label="stars")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="would be written over"):
        tuning.predict(tmp_path / "model", path, out=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["probability", "probability of con"])
def test_a_label_of_any_name_is_answered(tmp_path, name):
    texts, stars = reviews()
    path = write(tmp_path / "a.csv", {"review": texts, name: stars})
    preset(tmp_path / "model", train=path, text="review", label=name)
    found = tuning.predict(tmp_path / "model", path)
    assert set(found[name]) <= {"con", "pro"} and "probability of pro" in found


def test_numbers_are_answered_in_their_own_units(tmp_path):
    texts, _ = reviews()
    preset(tmp_path / "model", train=(texts, np.random.default_rng(0).normal(700, 3, 61)))
    assert tuning.predict(tmp_path / "model", texts)["label"].between(650, 750).all()


def test_each_word_gets_a_tag_and_what_is_out_of_reach_a_question_mark(tmp_path):
    preset(tmp_path / "model", train=tagged())
    found = tuning.predict(tmp_path / "model", [["Al"] * 3, [], ["Al"] * 99])
    counts = [len(tags.split()) for tags in found["tags"]]
    assert counts == [3, 0, 99] and set(found["tags"][0].split()) <= set("NV#")
    assert found["tags"][2].endswith("?") and found["probabilities"][2].endswith("?")


def test_forecasts_come_after_the_last_row_and_go_on_in_time(tmp_path):
    hours = pd.date_range("2024-01-01", periods=331, freq="h")
    table = pd.DataFrame({"hour": hours.astype(str), "u": 700 + np.arange(331) % 5, "v": np.arange(331)})
    preset(tmp_path / "model", series=table, horizon=3, time="hour", label="u")
    found = tuning.predict(tmp_path / "model", table)
    assert found["step"].tolist() == [1, 2, 3] and found["u"].between(680, 720).all()
    assert found["hour"].astype(str).tolist()[0] == "2024-01-14 19:00:00"


def told(tmp_path, rows=331):
    """A model that is told `bell` of the steps ahead, and a table whose last three rows are such steps."""
    hours = pd.date_range("2024-01-01", periods=rows, freq="h").astype(str)
    table = pd.DataFrame({"hour": hours, "u": 700 + np.arange(rows) % 5.0, "bell": np.arange(rows) % 7 == 0})
    table["bell"] *= 1.0
    preset(tmp_path / "model", series=table, horizon=3, time="hour", ahead=["bell"])
    table.loc[rows - 3 :, "u"] = np.nan
    return table


def test_of_the_steps_ahead_what_is_known_is_told(tmp_path):
    table = told(tmp_path)
    found = tuning.predict(tmp_path / "model", table)
    assert found["hour"].tolist() == table["hour"].tolist()[-3:] and list(found) == ["hour", "step", "u"]
    # Rows may come in any order, and what is told makes a difference.
    again = tuning.predict(tmp_path / "model", table[::-1])
    pd.testing.assert_frame_equal(found, again)
    table.loc[328:, "bell"] += 9
    assert (tuning.predict(tmp_path / "model", table)["u"] != found["u"]).all()


@pytest.mark.parametrize(("place", "value"), [((330, "u"), 3.0), ((329, "bell"), np.nan)])
def test_rows_that_are_no_steps_ahead_are_refused(tmp_path, place, value):
    table = told(tmp_path)
    table.loc[place] = value
    with pytest.raises(ValueError, match="is told 'bell' of the steps that it forecasts: the last 3 rows"):
        tuning.predict(tmp_path / "model", table)


def test_series_and_images_are_answered(tmp_path):
    x = np.random.default_rng(0).normal(size=(37, 13))
    preset(tmp_path / "series", series=(x, [3, 5, 3] * 12 + [5]))
    assert set(tuning.predict(tmp_path / "series", x)["label"]) <= {3, 5}
    folder = pictures(tmp_path / "pets")
    preset(tmp_path / "images", images=folder)
    found = tuning.predict(tmp_path / "images", folder)
    assert len(found) == 12 and found["file"][0].endswith("0.png") and set(found["label"]) <= {"cat", "dog"}


@pytest.mark.parametrize(
    ("x", "message"), [(np.zeros((2, 11)), "at least 13 steps"), (np.full((2, 13), np.nan), "missing")]
)
def test_series_of_another_form_are_refused(tmp_path, x, message):
    preset(tmp_path / "series", series=(np.random.default_rng(0).normal(size=(37, 13)), [3, 5, 3] * 12 + [5]))
    with pytest.raises(ValueError, match=message):
        tuning.predict(tmp_path / "series", np.concatenate([x, np.zeros((2, x.shape[1]))]))


def test_what_is_no_winner_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        tuning.predict(tmp_path / "none", ["a"])
    zoo.save(
        zoo.MixerTagger(zoo.MixerTextBackbone(7, hidden_dim=8, mixer="gru"), 3), tmp_path / "a", card={"name": "a"}
    )
    with pytest.raises(ValueError, match="was not trained on own data"):
        tuning.predict(tmp_path / "a", ["a"])
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="is the folder of a search"):
        tuning.predict(tmp_path, ["a"])


@pytest.mark.parametrize(("out", "message"), [("a.xlsx", "ends in one of .csv"), ("no/a.csv", "make it first")])
def test_where_nothing_can_be_written_is_said_first(tmp_path, out, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tuning.predict(tmp_path, ["a"], tmp_path / out)


@pytest.mark.slow
def test_the_command_line_searches_a_file_and_answers_it(tmp_path):
    path, out = review_file(tmp_path / "films.csv"), tmp_path / "out"
    data = ["--train", path, "--text", "review", "--label", "stars"]
    small = ["--mixers", "token_shift", "--trials", "1", "--seeds", "1", "--epochs", "1"]
    found = run("tune", *data, "--out", out, *small)
    assert found.exit_code == 0, found.output
    assert "Read 61 rows: text classification of `review` into 2 classes of `stars`" in found.output
    assert f"keras-attn tune --train {path} --text review --label stars --out DIR" in (out / "report.md").read_text()
    answered = run("predict", out / "models" / "implicit", path, "--out", tmp_path / "answers.csv")
    assert answered.exit_code == 0 and "61 rows" in answered.output
    assert set(pd.read_csv(tmp_path / "answers.csv")["stars"]) <= {"con", "pro"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a task's name (see `keras-attn tasks`) or data"),
        (["digits", "--train", "a.csv"], "Give a task's name or data, not both"),
        (["--train", "none.csv", "--text", "a"], "There is no file 'none.csv'"),
        (["--train", "none.csv", "--pairs", "en", "en"], "Received one twice: 'en'"),
    ],
)
def test_a_task_s_name_or_data_is_given(tmp_path, arguments, message):
    found = run("tune", *arguments, "--out", tmp_path / "out")
    assert found.exit_code == 2 and message in found.output
    assert not (tmp_path / "out").exists()


def test_a_model_of_arrays_takes_no_table(tmp_path):
    preset(tmp_path / "model", train=reviews())
    with pytest.raises(ValueError, match="trained on arrays, so that no column is known by name"):
        tuning.predict(tmp_path / "model", review_file(tmp_path / "a.csv"))


def test_a_damaged_image_and_a_place_that_cannot_be_written_are_named(tmp_path):
    folder = pictures(tmp_path / "pets")
    preset(tmp_path / "model", images=folder)
    damaged = tmp_path / "pets" / "dog" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:99])
    found = run("predict", tmp_path / "model", folder)
    assert found.exit_code == 2 and f"{damaged} cannot be read as an image" in found.output
    (tmp_path / "a.csv").mkdir()
    found = run("predict", tmp_path / "model", folder, "--out", tmp_path / "a.csv")
    assert found.exit_code == 2 and "cannot be written: it is a folder" in found.output


def test_what_the_disk_refuses_is_said_with_the_file_s_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "predict", lambda *_: (tmp_path / "a.csv").write_text("a"))
    (tmp_path / "a.csv").mkdir()
    found = run("predict", tmp_path, "a.csv")
    assert found.exit_code == 2 and f"Error: {tmp_path / 'a.csv'}: Is a directory" in found.output


def test_dates_are_read_as_the_training_data_writes_them(tmp_path):
    days = pd.date_range("2024-01-01", periods=331).strftime("%d/%m/%Y")
    table = pd.DataFrame({"day": days, "u": np.arange(331) % 5})
    preset(tmp_path / "model", series=table, horizon=3, time="day")
    # All of these could be months too.
    found = tuning.predict(tmp_path / "model", table[31:43].assign(u=1.0))
    assert found["day"].tolist() == ["13/02/2024", "14/02/2024", "15/02/2024"]


def test_a_missing_text_is_an_empty_one_in_a_list_too(tmp_path):
    preset(tmp_path / "model", train=review_file(tmp_path / "a.csv"), text="review", label="stars")
    found = tuning.predict(tmp_path / "model", [None, ""])
    assert found["probability"][0] == found["probability"][1]


@pytest.mark.parametrize("option", ["time", "group"])
def test_a_forecast_needs_all_times_and_groups(tmp_path, option):
    table = pd.DataFrame({"t": np.tile(np.arange(30), 11), "g": np.repeat(list("abcdefghijk"), 30)})
    table["u"] = np.arange(330) % 7.0
    preset(tmp_path / "model", series=table, horizon=2, time="t", group="g", label="u")
    name = option[0]
    with pytest.raises(ValueError, match=f"column for `{option}`"):
        tuning.predict(tmp_path / "model", table.drop(columns=name))
    table[name] = table[name].astype(object)
    table.loc[3, name] = None
    with pytest.raises(ValueError, match=f"the `{option}`, is missing in row 4"):
        tuning.predict(tmp_path / "model", table)
