"""Each rule's sequences, told again by loops over plain lists."""

import functools
import itertools

import numpy as np
import pytest

from tuning import tasks
from tuning.tasks import (
    adding,
    brackets,
    copy,
    flip_flop,
    induction,
    listops,
    moving_average,
    needle,
    parity,
    recall,
    repeat_copy,
    reverse,
    selective_copy,
    sequences,
    sort,
)

ROWS = 61


def examples(rule, **sizes):
    """Each example as a list of tokens and a dict of answers by the position where they are asked for."""
    tokens, answers, asked = rule(np.random.default_rng(7), ROWS, **sizes)
    asked = np.broadcast_to(asked, tokens.shape)
    for row in range(ROWS):
        yield tokens[row].tolist(), {int(t): np.squeeze(answers[row, t]).item() for t in np.flatnonzero(asked[row])}


def behind(shown, mark, blank, answers):
    """The tokens and answers of a sequence whose answers begin at a mark."""
    tokens = [*shown, mark, *[blank] * (len(answers) - 1)]
    return tokens, {len(shown) + step: answer for step, answer in enumerate(answers)}


@pytest.mark.parametrize(
    ("rule", "count", "answer"),
    [
        (copy.rule, 20, lambda letters: letters),
        (reverse.rule, 20, lambda letters: letters[::-1]),
        (sort.rule, 12, sorted),
    ],
)
def test_the_answer_is_what_was_shown_the_same_turned_round_or_in_order(rule, count, answer):
    for tokens, answers in examples(rule):
        assert max(tokens[:count]) < 16
        assert (tokens, answers) == behind(tokens[:count], 16, 17, answer(tokens[:count]))


def test_repeat_copy_says_the_letters_as_often_as_it_was_told_and_then_an_end():
    seen = set()
    for tokens, answers in examples(repeat_copy.rule):
        letters, times = tokens[:6], tokens[6] - 7
        assert tokens[7:] == [12] * 24
        assert answers == {6 + step: answer for step, answer in enumerate(letters * times + [8])}
        seen.add(times)
    assert seen == {1, 2, 3, 4}


def test_selective_copy_leaves_the_blanks_out():
    for tokens, answers in examples(selective_copy.rule):
        letters = [token for token in tokens[:24] if token != 17]
        assert len(letters) == 8
        assert (tokens, answers) == behind(tokens[:24], 16, 17, letters)


@pytest.mark.parametrize("pairs", [4, 8, 16])
def test_recall_asks_for_the_value_of_each_key(pairs):
    for tokens, answers in examples(recall.rule, pairs=pairs):
        values = dict(zip(tokens[0 : 2 * pairs : 2], (token - 2 * pairs for token in tokens[1 : 2 * pairs : 2])))
        assert len(values) == pairs and max(values) < 2 * pairs
        assert answers == {place: values[tokens[place]] for place in range(2 * pairs, 3 * pairs)}


def test_induction_asks_for_what_followed_where_something_did():
    for tokens, answers in examples(induction.rule):
        first, again = tokens[:16], tokens[16:]
        followers = dict(itertools.pairwise(first))
        assert len(set(first)) == 16 and sorted(first) == sorted(again)
        assert answers == {16 + step: followers[token] for step, token in enumerate(again) if token in followers}


def test_the_needle_is_what_stands_behind_the_mark():
    places = set()
    for tokens, answers in examples(needle.rule):
        assert tokens.count(16) == 1 and tokens[-1] == 17 and tokens.count(17) == 1
        assert answers == {63: tokens[tokens.index(16) + 1]}
        places.add(tokens.index(16))
    assert max(places) <= 61 and len(places) > 30


def test_parity_counts_the_ones_so_far():
    for tokens, answers in examples(parity.rule):
        assert answers == {t: sum(tokens[: t + 1]) % 2 for t in range(32)}


def test_a_flip_flop_reads_what_was_written_last():
    ignored = 0
    for tokens, answers in examples(flip_flop.rule):
        orders, bits = tokens[0::2], tokens[1::2]
        assert orders[0] == 2 and orders[-1] == 3 and set(bits) <= {0, 1}
        written, expected = None, {}
        for place, (order, bit) in enumerate(zip(orders, bits)):
            written = bit if order == 2 else written
            if order == 3:
                expected[2 * place] = written
                assert bit == written
        assert answers == expected
        ignored += orders.count(4)
    assert ignored / (ROWS * 30) == pytest.approx(0.8, abs=0.05)


def test_brackets_are_counted_and_stay_between_none_and_eleven():
    found = set()
    for tokens, answers in examples(brackets.rule):
        depths = [tokens[: t + 1].count(0) - tokens[: t + 1].count(1) for t in range(64)]
        assert answers == dict(enumerate(depths))
        found.update(depths)
    assert found == set(range(12))


def evaluate(tokens):
    """The values of nested lists, by the positions where they close, with Python's own functions."""
    operations = {10: max, 11: min, 12: lambda elements: sum(elements) % 10}
    stack, found = [], {}
    for place, token in enumerate(tokens):
        if token in operations:
            stack.append((operations[token], []))
        elif token == 13:
            operation, elements = stack.pop()
            assert len(elements) >= 2
            found[place] = operation(elements)
            if stack:
                stack[-1][1].append(found[place])
        elif stack:
            stack[-1][1].append(token)
        assert len(stack) <= 3
    assert not stack
    return found


def test_nested_lists_have_the_values_that_python_gives_them():
    nested = 0
    for tokens, answers in examples(listops.rule):
        assert answers == evaluate(tokens)
        nested += any(left in (10, 11, 12) and right in (10, 11, 12) for left, right in itertools.pairwise(tokens))
    assert nested > ROWS / 2


def test_a_moving_average_is_the_mean_of_the_last_eight_less_its_mean_over_its_deviation():
    levels = np.arange(16)
    for tokens, answers in examples(moving_average.rule):
        assert list(answers) == list(range(7, 48))
        for place, answer in answers.items():
            mean = sum(tokens[place - 7 : place + 1]) / 8
            assert answer == pytest.approx((mean - levels.mean()) / (levels.std() / np.sqrt(8)))


@pytest.mark.parametrize("length", [16, 48, 96])
def test_the_adding_problem_adds_the_marked_number_of_each_half(length):
    levels = np.arange(16)
    for tokens, answers in examples(adding.rule, length=length):
        marked = [(place, token - 16) for place, token in enumerate(tokens[:-1]) if token >= 16]
        assert tokens[-1] == 32 and max(tokens[:-1]) < 32
        (first, one), (second, other) = marked
        assert first < length // 2 <= second
        expected = (one + other - 2 * levels.mean()) / (levels.std() * np.sqrt(2))
        assert answers == {length: pytest.approx(expected)}


def test_things_are_strewn_in_order_and_everywhere():
    places = sequences.strew(np.random.default_rng(3), np.zeros((ROWS, 5)), 11)
    assert (np.diff(places, axis=1) > 0).all()
    assert set(places.ravel()) == set(range(11))


def few(numbers, count):
    """A rule with 27 sequences in all."""
    tokens = numbers.integers(3, size=(count, 3))
    return tokens, tokens, sequences.EVERYWHERE


def test_no_sequence_comes_twice_even_where_there_are_few(monkeypatch):
    monkeypatch.setattr(sequences, "VALID", 5)
    monkeypatch.setattr(sequences, "TEST", 7)
    data = sequences.splits("few", few, 0, 13)
    splits = (data.train, data.valid, data.test)
    assert [len(split) for split in splits] == [13, 5, 7]
    assert len(np.unique(np.concatenate([split.x["token_ids"] for split in splits]), axis=0)) == 25
    assert all(np.array_equal(split.x["token_ids"], split.y) for split in splits)


@functools.cache
def data_of(name):
    """Three tests look at the same data."""
    return tasks.get(name).data(0)


@pytest.mark.parametrize("name", tasks.SYNTHETIC)
def test_all_sequences_of_a_task_differ(name):
    data = data_of(name)
    rows = [row.tobytes() for split in (data.train, data.valid, data.test) for row in split.x["token_ids"]]
    assert len(set(rows)) == len(rows) == len(data.train) + 1536


@pytest.mark.parametrize("name", tasks.SYNTHETIC)
def test_a_task_s_numbers_fit_its_model(name):
    task, split = tasks.get(name), data_of(name).valid
    assert len(data_of(name).train) == task.epochs * task.epoch_size
    assert task.epoch_size % task.batch_size == 0
    model = task.model("identity", 4, 0.0)
    ids = split.x["token_ids"]
    assert ids.min() == 0 and ids.max() == model.backbone.vocabulary_size - 1
    assert ids.shape == split.y.shape[:2] and ids.shape[1] == model.backbone.sequence_length
    if task.measure == "explained":
        assert split.y.shape[2:] == (1,) and split.y.dtype == "float32"
    else:
        assert set(np.unique(split.y)) == set(range(model.num_classes))
    if split.weight is not None:
        assert split.weight.shape == ids.shape and set(np.unique(split.weight)) == {0.0, 1.0}
        assert (split.weight.sum(axis=1) >= 1).all()


@pytest.mark.parametrize("name", [name for name, task in tasks.SYNTHETIC.items() if task.measure == "explained"])
def test_numbers_that_are_asked_for_have_mean_zero_and_deviation_one(name):
    split = data_of(name).train
    numbers = split.y[..., 0][split.weight > 0]
    assert numbers.mean() == pytest.approx(0, abs=0.05) and numbers.std() == pytest.approx(1, abs=0.05)
