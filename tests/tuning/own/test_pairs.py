"""Texts that become other texts: what is understood, what is refused, and what a winner writes."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tuning
import zoo
from tests.tuning.own.data import pair_file, translated, write
from tuning import cli, texts, training
from tuning.own import pairs


def quiet(*data, **options):
    return tuning.task_from(*data, verbose=False, **{"pairs": ("en", "de"), **options})


def words(preprocessor, split, part="decoder"):
    """The texts of a split, as pieces read them, a list."""
    tokenizer = preprocessor.tokenizer if part == "decoder" else preprocessor.source_tokenizer
    marks = tokenizer.special_token_ids
    return [tokenizer.detokenize([i for i in row if i not in marks]) for row in split.x[f"{part}_token_ids"].tolist()]


def test_what_was_understood_is_said_and_what_the_score_is_not(tmp_path):
    path = pair_file(tmp_path / "words.csv")
    task = quiet(path)
    assert task.description == (
        "Read 61 rows: `de` is to be written from `en`; splits 80/10/10 drawn at random; the first 8 pieces of a "
        "source are read, and the first 8 of a target learnt, without capitals. Scored by the share of next pieces "
        "that are right, each asked for with the true ones before it: how good whole texts are that a model writes by "
        "itself is another question."
    )
    assert (task.name, task.measure) == ("words", "next_tokens")
    assert task.arguments == ("--train", path, "--pairs", "en", "de")
    assert task.model.__module__ == "tuning.own.pairs"
    assert task.data(3).checksum() == quiet(path, pairs=["en", "de"]).data(3).checksum() != task.data(5).checksum()


def test_both_vocabularies_are_learnt_from_the_training_split_only():
    sources, targets = translated()
    data = quiet({"en": sources, "de": targets}).data(0)
    assert (len(data.train), len(data.valid), len(data.test)) == (49, 6, 6)
    numbers = {str(number) for number in range(100, 161)}
    for part, tokenizer in (("encoder", data.preprocessor.source_tokenizer), ("decoder", data.preprocessor.tokenizer)):
        trained = " ".join(words(data.preprocessor, data.train, part)).split()
        known = set(tokenizer.get_vocabulary()) & numbers
        assert len(known) == 49 and known <= set(trained)
    assert {"number", "and"} <= set(data.preprocessor.source_tokenizer.get_vocabulary())
    assert {"nummer", "und", "!"} <= set(data.preprocessor.tokenizer.get_vocabulary())
    assert data.form == {"kind": "pairs", "columns": {"source": "en", "target": "de"}}


def test_a_decoder_is_told_the_truth_and_asked_for_what_follows():
    sources, targets = translated()
    test = quiet({"en": sources, "de": targets}, {"de": ["Nummer und!"], "en": ["number and"]}).data(0).test
    np.testing.assert_array_equal(test.x["decoder_token_ids"][:, 1:], test.y[:, :-1])
    # Three pieces and an end, and padding counts for nothing.
    assert test.weight.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] and test.x["encoder_padding_mask"].sum() == 4


def test_a_word_that_comes_once_is_spelt():
    assert texts.vocabulary(["ab ab cd"], 20, least=2)[-1] == "ab"
    assert texts.vocabulary(["ab ab cd"], 20)[-2:] == ["ab", "cd"]
    sizes = pairs.measure(np.array([["dog cat", "a"], ["dog elephants", "b"]], object))
    # A start, one piece, nine letters, an end; the next eight.
    assert sizes["encoder_sequence_length"] == 16 and sizes["decoder_sequence_length"] == 8


def test_repeats_of_a_source_stand_in_one_split_and_groups_too():
    sources, targets = translated(31)
    twice = pd.DataFrame({"en": 2 * sources, "de": [*targets, *(f"{target}!" for target in targets)]})
    task = quiet(twice)
    assert "31 rows repeat another's input and stand in the same split." in task.description
    data = task.data(0)
    splits = (data.train, data.valid, data.test)
    train, valid, test = (set(words(data.preprocessor, split, "encoder")) for split in splits)
    assert [len(split) for split in splits] == [50, 6, 6] and not train & valid and not train & test
    grouped = quiet(twice, group=np.arange(62) % 31 // 3)
    assert "no group in two of them" in grouped.description
    data = grouped.data(0)
    assert {len(split) % 6 for split in (data.valid, data.test)} <= {0, 2}
    assert len(data.test.group) == len(data.test) and data.train.group is None


def test_the_later_is_judged_by_and_test_data_is_taken_by_name(tmp_path):
    path = pair_file(tmp_path / "a.csv", day=pd.date_range("2024-01-01", periods=61).astype(str))
    data = quiet(path, time="day").data(0)
    late = [str(number) for number in range(155, 161)]
    assert [text.split()[1] for text in words(data.preprocessor, data.test)] == late
    assert not set(late) & set(data.preprocessor.tokenizer.get_vocabulary())
    test = write(tmp_path / "test.csv", {"en": ["number 100 and 100", "other 7"], "de": ["Nummer", "andere 7"]})
    task = quiet(path, test)
    assert "Read 61 rows and 2 to judge by" in task.description
    assert "1 of 2 test rows have an input that is in the training data too." in task.description


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": ("en", "ed")}, "Unknown column for `pairs` 'ed'. Did you mean"),
        ({"pairs": ("en", "en")}, "`pairs` are two columns, source and target. Received one twice: 'en'"),
        ({"pairs": "en"}, "the names of two columns, source and target. Received: 'en'"),
        ({"pairs": ("en", "de", "fr")}, "the names of two columns"),
        ({"text": "en"}, "`text` .* means nothing for pairs of texts"),
        ({"predict": "classes"}, "`predict` .* means nothing for pairs of texts"),
        ({"pairs": ("gap", "de")}, r"'gap' is empty in rows 1, 3 \(the first is 1\). Of a pair both texts must be"),
        ({"pairs": ("en", "gap")}, r"'gap' is empty in rows 1, 3"),
        ({"pairs": ("en", "same")}, "'same' is always 'x': there is nothing to learn"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(options, message):
    sources, targets = translated(13)
    gaps = [None, "b", " ", *"cdefghijkl"]
    with pytest.raises(ValueError, match=message):
        quiet(pd.DataFrame({"en": sources, "de": targets, "gap": gaps, "same": ["x"] * 13}), **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": (["a", "b"], ["c", "d"])}, "`pairs` names a column of a table and means nothing for arrays"),
        ({"series": pd.DataFrame({"en": [3, 5]}), "horizon": 2}, "`pairs` means nothing for numbers"),
        ({"train": dict(zip(("en", "de"), translated(7)))}, "Too few rows: 7"),
    ],
)
def test_what_are_no_pairs_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        quiet(**given)


def test_a_table_without_options_is_asked_what_it_is():
    with pytest.raises(ValueError, match=r"or two as `pairs`. There are: 'en', 'de'"):
        quiet(dict(zip(("en", "de"), translated(13))), pairs=None)


def test_of_too_many_rows_as_many_are_judged_by_as_there_is_memory_for():
    sizes = {"decoder_sequence_length": 50, "decoder_vocabulary_size": 1000}
    rows = np.arange(2003)
    thin = pairs.thin(rows, sizes)
    assert len(thin) == pairs.at_most(sizes) == 1000 and thin[0] == 0 and thin[-1] == 2002
    assert (np.diff(thin) <= 3).all() and pairs.thin(rows[:1000], sizes) is not thin
    assert "At most 1,000 rows are judged by" in pairs.scored(sizes, 2003)
    assert "At most" not in pairs.scored(sizes, 1000)


class Writer:
    """Writes in capitals what it is given, and remembers how much that was."""

    def __init__(self):
        self.counts = []

    def compile(self, sampler, jit_compile):
        assert sampler == "greedy"

    def generate(self, sources):
        self.counts.append(len(sources))
        return [source.upper() for source in sources]


def test_texts_are_written_in_batches_of_one_size_and_none_of_an_empty_source():
    writer = Writer()
    assert pairs.write(writer, ["a", "b", " ", "c", "", "d", "e"], 3) == ["A", "B", "", "C", "", "D", "E"]
    assert writer.counts == [3, 3]
    assert pairs.write(writer, ["", ""], 3) == ["", ""] and len(writer.counts) == 2


def go_eagerly(monkeypatch):
    """Nothing is compiled for the few steps."""
    compiled = zoo.MixerSeq2SeqLM.compile

    def compile(self, *arguments, **options):
        options |= {"run_eagerly": True, "jit_compile": False, "steps_per_execution": 1}
        return compiled(self, *arguments, **options)

    monkeypatch.setattr(zoo.MixerSeq2SeqLM, "compile", compile)


def test_an_epoch_is_trained_and_the_model_writes_texts_for_a_file(tmp_path, monkeypatch):
    go_eagerly(monkeypatch)
    task = quiet(pair_file(tmp_path / "words.csv"))
    data = task.data(0)
    trained = training.Workbench(task, data).train(training.Recipe("token_shift", 7, 0.0, 0.01, 3), epochs=1)
    assert len(trained.curve) == 1 and 0 <= trained.curve[0] <= 1
    sources = ["number 101 and 102", "", "number 97"]
    inputs = texts.as_arrays(data.preprocessor.generate_preprocess(sources[:1]))
    # What is written begins with the likeliest piece after the start.
    first = int(trained.model.predict_on_batch(inputs)[0, 0].argmax())
    begins = data.preprocessor.generate_postprocess({"decoder_token_ids": [[first]], "decoder_padding_mask": [[1]]})
    trained.model.preprocessor = data.preprocessor
    zoo.save(trained.model, tmp_path / "model", card={"name": "mine", "form": data.form})
    found = tuning.predict(tmp_path / "model", write(tmp_path / "new.csv", {"en": sources}), tmp_path / "out.csv")
    assert found.columns.tolist() == ["de"] and len(pd.read_csv(tmp_path / "out.csv", skip_blank_lines=False)) == 3
    assert found["de"][0].startswith(begins[0]) and found["de"][1] == ""
    with pytest.raises(ValueError, match="Unknown column for `pairs` 'en'"):
        tuning.predict(tmp_path / "model", pd.DataFrame({"fr": ["a"]}))


@pytest.mark.slow
def test_the_command_line_searches_pairs_and_writes_texts(tmp_path):
    path, out = pair_file(tmp_path / "words.csv"), tmp_path / "out"
    small = ["--mixers", "token_shift", "--trials", "1", "--seeds", "1", "--epochs", "1"]
    found = CliRunner().invoke(cli.app, ["tune", "--train", path, "--pairs", "en", "de", "--out", str(out), *small])
    assert found.exit_code == 0, found.output
    report = (out / "report.md").read_text()
    assert f"keras-attn tune --train {path} --pairs en de --out DIR" in report
    assert "the share of next tokens that are right, given the true ones before" in report
    answers = CliRunner().invoke(cli.app, ["predict", str(out / "models" / "implicit"), path])
    assert answers.exit_code == 0 and answers.output.startswith("de\n")
