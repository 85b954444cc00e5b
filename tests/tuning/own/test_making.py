"""From data to a task: what is inferred, what is said, what is refused, all before any training."""

import datetime
import decimal
import pickle
import re

import numpy as np
import pandas as pd
import pytest

from tests.tuning.own.data import pictures, review_file, reviews, tagged, write
from tuning import measures, task_from
from tuning.own import images


def quiet(*data, **options):
    return task_from(*data, verbose=False, **options)


def answers_to(task, data):
    """The outputs for two test rows of a new model."""
    model = task.model("gated_conv", 8, 0.0)
    return model.predict_on_batch(data.test.take(slice(2)).x)


def test_what_was_understood_is_printed(tmp_path, capsys):
    task = task_from(review_file(tmp_path / "films.csv"), text="review", label="stars")
    said = capsys.readouterr().out.strip()
    assert said == task.description
    assert said.startswith(
        "Read 61 rows: text classification of `review` into 2 classes of `stars`; splits 80/10/10 drawn at random, "
        "stratified; the first 16 pieces of a text are read."
    )
    assert task.name == "films"
    assert task.arguments == ("--train", str(tmp_path / "films.csv"), "--text", "review", "--label", "stars")


def test_a_text_task_learns_its_words_from_the_training_split_only():
    texts, labels = reviews()
    task = quiet((texts, labels))
    data = task.data(3)
    assert (len(data.train), len(data.valid), len(data.test)) == (49, 6, 6)
    known = set(data.preprocessor.tokenizer.get_vocabulary())
    trained = {row.tobytes() for row in data.train.x["token_ids"]}
    there = [text for text in texts if pack(data, text) in trained]
    assert known >= {"good", "bad"} and len(there) == 49
    numbers = {str(number) for number in range(10, 61)}
    assert known & numbers <= {text.split()[-2] for text in there}
    assert answers_to(task, data).shape == (2, 2)
    assert data.form == {"kind": "text", "columns": {}, "classes": ["con", "pro"]}


def pack(data, text):
    return np.asarray(data.preprocessor([text])["token_ids"][0], "int32").tobytes()


def test_the_same_seed_splits_the_same():
    task = quiet(reviews())
    assert task.data(3).checksum() == task.data(3).checksum() != task.data(5).checksum()


def test_a_task_can_be_given_to_another_process():
    task = quiet(reviews())
    again = pickle.loads(pickle.dumps(task))
    assert again.data(0).checksum() == task.data(0).checksum()
    assert again.model.__qualname__ == "model" and again.model.__module__ == "tuning.own.texts"


def test_a_frame_with_one_text_beside_the_label_needs_no_more():
    texts, labels = reviews()
    task = quiet(pd.DataFrame({"said": texts, "stars": labels}), label="stars", name="mine")
    assert "text classification of `said` into 2 classes of `stars`" in task.description


def test_numbers_are_standardised_by_the_training_split():
    texts, _ = reviews()
    prices = np.random.default_rng(0).normal(700, 30, len(texts))
    task = quiet((texts, prices))
    data = task.data(0)
    assert task.measure == "explained" and "text regression" in task.description
    np.testing.assert_allclose([data.train.y.mean(), data.train.y.std()], [0, 1], atol=1e-5)
    restored = data.test.y * data.form["deviation"] + data.form["mean"]
    assert all(np.abs(prices - value).min() < 1e-2 for value in restored)
    assert answers_to(task, data).shape == (2, 1)


def test_classes_that_are_rare_count_alike_in_training_and_that_is_said():
    texts, _ = reviews()
    labels = ["rare" if number % 10 == 0 else "common" for number in range(61)]
    task = quiet((texts, labels))
    data = task.data(0)
    assert task.measure == "balanced_accuracy"
    assert "The largest class is 7.7 times the smallest, more than 4" in task.description
    totals = [data.train.weight[data.train.y == number].sum() for number in (0, 1)]
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-5)
    assert data.valid.weight is None and data.test.weight is None


def test_tags_stand_at_the_first_piece_of_each_word():
    task = quiet(tagged())
    data = task.data(0)
    assert "sequence tagging with 3 tags" in task.description
    for row in range(2):
        tags = [data.form["classes"][label] for label in data.train.y[row][data.train.weight[row] > 0]]
        assert tags in (["N", "V", "#"], ["N", "#"])
    assert answers_to(task, data).shape == (2, 8, 3)


def test_series_are_standardised_and_missing_numbers_are_marked():
    numbers = np.random.default_rng(0)
    x = numbers.normal(50, 7, (53, 13, 3)).astype("float32")
    x[4, 5, 1] = np.nan
    task = quiet(series=(x, np.arange(53) % 3))
    data = task.data(0)
    assert "series of 13 steps of 3 numbers; 0.0% of the numbers are missing, which channels" in task.description
    np.testing.assert_allclose(np.nanmean(data.train.x, axis=(0, 1)), np.zeros(3), atol=1e-4)
    assert np.isfinite(answers_to(task, data)).all()
    assert np.isnan(np.concatenate([data.train.x, data.valid.x, data.test.x])).sum() == 1


def test_rows_of_a_table_are_series_if_it_is_given_as_such(tmp_path):
    numbers = np.random.default_rng(0)
    steps = {f"hour {hour}": numbers.normal(size=43) for hour in range(11)}
    path = write(
        tmp_path / "days.csv", {**steps, "season": ["cold", "warm"] * 21 + ["cold"], "year": np.arange(43) // 9}
    )
    task = quiet(series=path, label="season", group="year")
    data = task.data(0)
    assert data.train.x.shape[1:] == (11, 1) and data.form["columns"]["steps"] == list(steps)
    assert "no group in two of them" in task.description
    # Rows of a group say less than as many by themselves.
    assert len(data.test.group) == len(data.test) and measures.units(data.test) == len(set(data.test.group.tolist()))


def test_images_of_a_folder_are_brought_to_one_size(tmp_path):
    task = quiet(images=pictures(tmp_path / "pets"))
    data = task.data(0)
    assert "image classification into 2 classes" in task.description
    assert "images of 14 x 12 pixels (colour), in patches of 2 x 2" in task.description
    assert "Images of 14 x 11 were made 14 x 12 pixels." in task.description
    assert data.form["classes"] == ["cat", "dog"] and answers_to(task, data).shape == (2, 2)


def test_grey_images_come_as_arrays_too():
    x = np.random.default_rng(0).integers(0, 255, (31, 16, 16))
    data = quiet(images=(x, np.arange(31) % 2)).data(0)
    assert data.train.x.shape[1:] == (16, 16, 1)
    np.testing.assert_allclose([data.train.x.mean(), data.train.x.std()], [0, 1], atol=1e-3)


def test_test_data_is_only_judged_by_and_what_it_shares_is_said(tmp_path):
    texts, labels = reviews()
    path = review_file(tmp_path / "train.csv")
    fresh = ["a quiet film 997 good", "long scenes 991 bad"]
    test = write(tmp_path / "test.csv", {"review": [texts[0], *fresh], "stars": [labels[0], "pro", "con"]})
    task = quiet(path, test, text="review", label="stars")
    data = task.data(0)
    assert (len(data.train), len(data.valid), len(data.test)) == (55, 6, 3)
    assert "Read 61 rows and 3 to judge by" in task.description
    assert "1 of 3 test rows have an input that is in the training data too." in task.description
    assert not {"997", "991"} & set(data.preprocessor.tokenizer.get_vocabulary())


def test_rows_that_repeat_are_said():
    texts, labels = reviews()
    assert "2 rows repeat another's input and stand in the same split" in (
        quiet((texts + texts[:2], labels + labels[:2])).description
    )


def test_later_rows_are_judged_by(tmp_path):
    days = pd.date_range("2024-01-01", periods=61).astype(str)[::-1]
    task = quiet(review_file(tmp_path / "a.csv", day=days), text="review", label="stars", time="day")
    assert "splits 80/10/10 by `day`, the later to judge by" in task.description
    assert len(task.data(0).test) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "reviw", "label": "stars"}, "Unknown column for `text` 'reviw'. Did you mean 'review'"),
        ({"text": "review", "label": "star"}, "Did you mean 'stars'"),
        ({"text": "review"}, "Which column is the answer?.*'stars', 'film'"),
        ({"label": "stars"}, "Which column is the text?.*'review', 'film'"),
        ({}, "Name columns: `text` and `label`"),
        ({"text": "review", "label": "stars", "group": "fim"}, "Unknown column for `group` 'fim'"),
        ({"text": "review", "label": "stars", "horizon": 3}, "`horizon` is for numbers over time"),
        ({"text": "review", "label": "stars", "ahead": "stars"}, "`ahead` is for numbers over time"),
        ({"tokens": "review"}, "`tokens` and `tags` go together"),
        ({"tokens": "review", "tags": "stars"}, r"Row 1 \(the first is 1\) has 7 tokens and 1 tags"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, options, message):
    path = review_file(tmp_path / "a.csv", film=np.arange(61) // 7)
    with pytest.raises(ValueError, match=message):
        quiet(path, **options)


def test_a_table_of_numbers_alone_is_asked_what_it_is(tmp_path):
    path = write(tmp_path / "a.csv", {"u": np.arange(31), "v": np.arange(31), "y": ["a", "b", "a"] * 10 + ["b"]})
    with pytest.raises(ValueError, match="give the data as `series`"):
        quiet(path, label="y")


@pytest.mark.parametrize("shape", [(31, 7, 5), (31, 7)])
def test_an_array_that_may_be_images_or_series_is_asked(shape):
    with pytest.raises(ValueError, match=r"give it as images=\(x, y\).*or as series=\(x, y\)"):
        quiet((np.zeros(shape), np.arange(31) % 2))


@pytest.mark.parametrize("given", [{}, {"images": "a", "series": "b"}])
def test_data_comes_as_one_thing(given):
    with pytest.raises(ValueError, match="Give one of `train`, `images` and `series`"):
        quiet(**given)


def test_damaged_images_are_named(tmp_path):
    folder = pictures(tmp_path / "pets")
    file = tmp_path / "pets" / "dog" / "3.png"
    file.write_bytes(file.read_bytes()[:99])
    (tmp_path / "pets" / "cat" / "x.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"2 of 13 images cannot be read: x.jpg .*3.png"):
        quiet(images=folder)


@pytest.mark.parametrize(("names", "message"), [((), "It holds no folders"), (("a",), "holds no images")])
def test_a_folder_without_folders_or_images_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=message):
        quiet(images=str(tmp_path))


def test_text_in_a_series_is_named(tmp_path):
    path = write(tmp_path / "a.csv", {"u": ["1", "x"] * 5, "y": ["a", "b"] * 5})
    with pytest.raises(ValueError, match=re.escape("column 'u' holds 'x' in rows 2, 4, 6, 8, 10 (the first is 1)")):
        quiet(series=path, label="y")


def test_a_class_that_no_training_row_has_is_refused():
    texts, _ = reviews(40)
    labels = ["late" if number > 35 else "early" if number % 2 else "both" for number in range(40)]
    with pytest.raises(ValueError, match="No row to train on is of the class 'late'"):
        quiet((texts, labels), time=np.arange(40))


def test_columns_of_the_test_data_are_taken_by_name():
    x = np.random.default_rng(0).normal(size=(47, 3))
    table = pd.DataFrame({**dict(zip("uvw", x.T)), "y": ["a", "b"] * 23 + ["a"]})
    task = quiet(series=table, test=table[["w", "y", "v", "u"]][:29], label="y")
    known = quiet(series=table, test=table[:29], label="y")
    assert task.data(0).checksum() == known.data(0).checksum()


def test_a_text_that_was_inferred_is_looked_for_in_the_test_data():
    texts, labels = reviews()
    table = pd.DataFrame({"said": texts, "stars": labels})
    with pytest.raises(ValueError, match="Unknown column for `text` 'said'"):
        quiet(table, table.rename(columns={"said": "sad"}), label="stars")


@pytest.mark.parametrize(
    ("source", "train", "test", "message"),
    [
        ("series", (31, 13, 3), (5, 13, 2), "13 steps of 3 numbers, as the training data is. Received: 13 steps of 2"),
        ("series", (31, 13, 3), (5, 11, 3), "13 steps of 3 numbers, as the training data is. Received: 11 steps of 3"),
        ("images", (31, 16, 16, 3), (5, 16, 16), "images of 3 channels, as the training data is. Received: 1"),
    ],
)
def test_test_arrays_of_another_shape_are_refused(source, train, test, message):
    given = {source: (np.ones(train), np.arange(31) % 2)}
    with pytest.raises(ValueError, match=message):
        quiet(**given, test=(np.ones(test), np.arange(5) % 2))


def test_an_index_that_was_written_besides_is_left_out_and_that_is_said(tmp_path):
    x = np.random.default_rng(0).normal(size=(47, 3))
    table = pd.DataFrame({**dict(zip("uvw", x.T)), "y": ["a", "b"] * 23 + ["a"]})
    table.to_csv(tmp_path / "a.csv")
    task = quiet(series=tmp_path / "a.csv", label="y")
    assert "series of 3 steps" in task.description and "1 column without a name was left out" in task.description


def test_missing_numbers_of_the_test_data_alone_are_marked():
    numbers, test = np.random.default_rng(0), np.ones((5, 13, 3))
    test[2, 3, 1] = np.nan
    task = quiet(series=(numbers.normal(size=(53, 13, 3)), np.arange(53) % 3), test=(test, np.arange(5) % 3))
    model = task.model("gru", 8, 0.0)
    assert np.isfinite(model.predict_on_batch(task.data(0).test.x)).all() and model.backbone.marks_missing


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens": "review", "tags": "stars", "label": "stars"}, "`label` .* for words with tags"),
        ({"tokens": "review", "tags": "stars", "text": "review"}, "`text` .* for words with tags"),
        ({"label": "stars", "text": "review"}, "`text` .* for series with a label"),
        ({"label": "stars", "tags": "review"}, "`tags` .* for series with a label"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(tmp_path, given, message):
    path = review_file(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=message):
        quiet(**{"train" if "tokens" in given else "series": path}, **given)


@pytest.mark.parametrize("count", [6, 9])
def test_too_few_rows_are_said(count):
    with pytest.raises(ValueError, match=f"Too few rows: {count}. One of 10 is to judge by"):
        quiet(([f"film {number}" for number in range(count)], ["a", "b", "a"] * (count // 3)))


def test_whole_numbers_may_be_names_of_columns():
    x = np.random.default_rng(0).normal(size=(47, 3))
    task = quiet(series=pd.DataFrame({**dict(enumerate(x.T)), 3: np.arange(47) % 2}), label=3)
    assert "series of 3 steps of 1 number" in task.description and "of `3`" in task.description


@pytest.mark.parametrize("labels", [["a", None, "b"], pd.array([3, None, 5], "Int64"), pd.array(["a", None, "b"])])
def test_missing_labels_of_any_mark_are_named(labels):
    table = pd.DataFrame({"said": ["x", "y", "z"] * 7, "stars": pd.Series(labels).repeat(7).array})
    with pytest.raises(ValueError, match=r"`stars` is missing in rows 8, 9, 10"):
        quiet(table, label="stars")


def test_labels_that_are_dates_are_refused_and_decimals_are_numbers():
    table = pd.DataFrame({"said": [f"film {number}" for number in range(31)]})
    with pytest.raises(ValueError, match=r"must hold texts or numbers, and holds datetime.date\(2024, 1, 2\)"):
        quiet(table.assign(day=[datetime.date(2024, 1, 2)] * 31), label="day", text="said")
    prices = [decimal.Decimal(number) / 7 for number in range(31)]
    assert quiet(table.assign(price=prices), label="price", text="said").measure == "explained"


def test_grey_images_of_16_bits_are_scaled(tmp_path):
    import PIL.Image

    for name, value in (("dark", 257 * 31), ("light", 257 * 211)):
        (tmp_path / name).mkdir()
        for number in range(7):
            pixels = np.full((16, 16), value + number, dtype="uint16")
            PIL.Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    x, labels, _ = images.read(tmp_path)
    assert x.shape == (14, 16, 16, 1)
    assert {(label, int(image.mean())) for label, image in zip(labels, x)} == {("dark", 31), ("light", 211)}


def test_grey_images_of_an_unknown_range_are_named(tmp_path):
    import PIL.Image

    PIL.Image.fromarray(np.full((16, 16), 0.5, dtype="float32")).save(tmp_path / "a.png", format="TIFF")
    with pytest.raises(ValueError, match=r"a.png cannot be read as an image: .*Received: mode F, 0.5 to 0.5"):
        images.read_files([tmp_path / "a.png"], (16, 16, 1))


def test_numbers_that_do_not_differ_cannot_be_explained_and_that_is_said():
    texts, _ = reviews()
    with pytest.raises(ValueError, match=r"The numbers to (choose|judge) by are all"):
        quiet((texts[:12], np.arange(12)), predict="numbers")


def test_a_tag_that_is_missing_is_no_class_of_that_name():
    with pytest.raises(ValueError, match=r"A token or a tag is missing in \['N', None\]"):
        quiet(pd.DataFrame({"words": [["a", "b"]] * 40, "tags": [["N", None]] * 40}), tokens="words", tags="tags")


def test_a_file_is_no_folder_of_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Received a file: .*a\.png"):
        quiet(images=tmp_path / "a.png")
