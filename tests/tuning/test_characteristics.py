import dataclasses

import numpy as np
import pytest

from tests.tuning.standins import BLOBS
from tuning import bag, characteristics, probes
from tuning.task import Data, Split, Task

BACK, LENGTH, TOKENS = 3, 11, 5


def shifted(seed, count=230):
    """The label at each position is the token three back; the first three are not asked for."""
    tokens = np.random.default_rng(seed).integers(TOKENS, size=(count, LENGTH)).astype("int32")
    labels = np.roll(tokens, BACK, axis=1)
    weight = np.ones(tokens.shape, "float32")
    weight[:, :BACK] = 0.0
    whole = Split(tokens, labels, weight)
    return Data(whole.take(slice(170)), whole.take(slice(170, 217)), whole.take(slice(217, None)))


def convolution(mixer, width, dropout):
    """A tagger that sees four back, whatever the mixer, so that it compiles in a moment."""
    import keras

    layers = [
        keras.Input((LENGTH,), dtype="int32"),
        keras.layers.Embedding(TOKENS, width),
        keras.layers.Conv1D(width, 5, padding="causal"),
        keras.layers.Dense(TOKENS),
    ]
    return keras.Sequential(layers)


SHIFTED = Task(
    name="shifted",
    description="The token three back.",
    data=shifted,
    model=convolution,
    parameters=997,
    epochs=2,
    batch_size=17,
    mixers=("multi_head", "gru"),
    learning_rates=(1e-3, 1e-2, 1e-1),
    causal=True,
)


@pytest.fixture(scope="module", autouse=True)
def _few_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def described(_few_steps):
    return characteristics.describe(SHIFTED, shifted(0), seed=3)


def test_what_is_learnt_from_three_back_is_looked_for_three_back(described):
    assert described.distance == BACK
    assert described.half == 1
    assert described.within[0] < 0.05 and described.within[1] > 0.95
    assert described.explicit > 0.95


def test_what_can_be_counted_is_counted(described):
    assert (described.length, described.spread, described.positions) == (LENGTH, 0, LENGTH)
    assert (described.values, described.tokens, described.examples) == (TOKENS, True, 170)
    assert (described.labels, described.classes) == (True, TOKENS)
    assert described.asked == pytest.approx((LENGTH - BACK) / LENGTH, abs=1e-3)
    assert described.entropy == pytest.approx(np.log2(TOKENS), abs=0.02)


def test_answers_without_order_do_not_find_what_needs_it(described):
    assert described.constant == pytest.approx(1 / TOKENS, abs=0.05)
    assert described.bag < 0.45
    assert described.skill("bag") < 0.35 < 0.9 < described.skill("explicit")


def test_the_same_seed_finds_the_same_and_another_another(described):
    assert characteristics.describe(SHIFTED, shifted(0), seed=3) == described
    assert characteristics.describe(SHIFTED, shifted(0), seed=4) != described


def test_what_a_padding_mask_hides_is_no_length():
    mask = np.arange(LENGTH) < np.array([[2], [3], [7]])
    assert probes.real({"token_ids": np.zeros((3, LENGTH), int), "padding_mask": mask}, LENGTH).sum() == 12
    assert probes.real(np.zeros((3, LENGTH), int), LENGTH).all()


def test_a_table_without_positions_is_refused():
    def flat(mixer, width, dropout):
        import keras

        return keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)])

    x = Split(np.ones((37, 7), "float32"), np.arange(37) % 2)
    with pytest.raises(ValueError, match=r"a vector for each position.*Received: inputs of shape \(37, 7\)"):
        characteristics.describe(dataclasses.replace(SHIFTED, model=flat), Data(x, x, x))


def test_numbers_with_positions_are_looked_at_themselves():
    x = BLOBS.data(0).valid.x
    assert probes.entrance(BLOBS.model("identity", 5, 0.0), x) == (None, 3)


def test_of_a_pair_of_texts_the_source_is_looked_at():
    from zoo.seq2seq import MixerSeq2SeqBackbone, MixerSeq2SeqLM

    model = MixerSeq2SeqLM(MixerSeq2SeqBackbone(11, 13, hidden_dim=8, num_layers=1))
    ids = np.ones((2, 7), "int32")
    x = {f"{side}_{what}": ids for side in ("encoder", "decoder") for what in ("token_ids", "padding_mask")}
    assert probes.entrance(model, x) == ("encoder/embedding/tokens", 7)
    labels = np.arange(14, dtype="int32").reshape(2, 7) % 13
    found = probes.look(model, Split(x, labels), "accuracy")
    assert sum(found.quarters) == pytest.approx(1)


def test_pixels_are_looked_at_where_they_become_patches():
    from tests.tuning.standins import DIGITS

    at, count = probes.entrance(DIGITS.model("identity", 8, 0.0), DIGITS.data(0).valid.x)
    assert at.endswith("raster") and count == 16


# The profile of sensitivities that are made by hand.


def whole(*shape):
    return np.ones(shape, bool)


def test_shares_are_of_squares():
    slopes = np.array([[[2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]])
    found = probes.profile(slopes, whole(1, 7), whole(1, 1), np.array([5]))
    # Five away 4/5, four away 1/5.
    assert found.distance == 5
    assert found.within == pytest.approx((0.0, 0.2, 1.0, 1.0))


def test_of_a_whole_row_the_distance_is_between_two_positions_it_depends_on():
    slopes = np.zeros((1, 1, 13))
    slopes[0, 0, [1, 7, 12]] = 1.0
    found = probes.profile(slopes, whole(1, 13), whole(1, 1))
    # Of nine pairs three are of a position with itself, two are 5 apart, two 6 and two 11.
    assert found.distance == 5
    assert found.within == pytest.approx((3 / 9, 3 / 9, 1.0, 1.0))
    assert found.half == 2


def test_quarters_are_of_what_is_real():
    slopes = np.zeros((1, 1, 11))
    slopes[0, 0, [0, 7]] = 1.0
    there = np.arange(11)[None] < 8
    assert probes.profile(slopes, there, whole(1, 1)).quarters == pytest.approx((0.5, 0.0, 0.0, 0.5))


def test_padding_and_answers_that_do_not_count_are_left_out():
    slopes = np.zeros((1, 2, 5))
    slopes[0, 0, [2, 4]] = 1.0, 9.0
    slopes[0, 1, 0] = 1.0
    there, asked = np.array([[True, True, True, True, False]]), np.array([[True, False]])
    assert probes.profile(slopes, there, asked, np.array([1, 3])).distance == 1


def test_what_depends_on_nothing_has_no_profile():
    assert probes.profile(np.zeros((2, 3, 5)), whole(2, 5), whole(2, 3), np.arange(3)) is None


# Answers without order.


def tokens_task(measure="accuracy"):
    return dataclasses.replace(SHIFTED, measure=measure, causal=False)


def present(count=113):
    tokens = np.random.default_rng(0).integers(23, size=(count, 7)).astype("int32")
    return tokens, (tokens == 4).any(axis=1).astype("int32")


def test_a_bag_knows_what_there_is():
    split = Split(*present(613))
    constant, linear = (answer(tokens_task(), split, split, 2) for answer in (bag.constant, bag.linear))
    assert constant == pytest.approx(1 - split.y.mean())
    assert linear > 0.97


def test_the_mean_explains_nothing_and_a_line_what_is_linear():
    numbers = np.random.default_rng(0).normal(size=(113, 5, 3)).astype("float32")
    split = Split(numbers, numbers.mean(axis=1)[:, :1])
    assert bag.constant(tokens_task("explained"), split, split, 1) == pytest.approx(0.0, abs=1e-3)
    assert bag.linear(tokens_task("explained"), split, split, 1) > 0.7


def test_at_each_position_a_causal_bag_sees_what_came_before_only():
    bits = np.random.default_rng(0).integers(2, size=(211, 7)).astype("int32")
    seen = Split(bits, np.roll(bits, -1, axis=1), np.array([[1.0] * 6 + [0.0]] * 211, "float32"))
    assert bag.linear(dataclasses.replace(SHIFTED, causal=True), seen, seen, 2) < 0.6
    own = Split(bits, (np.cumsum(bits, axis=1) > 0).astype("int32"))
    assert bag.linear(dataclasses.replace(SHIFTED, causal=True), own, own, 2) > 0.85


def test_steps_ahead_are_drawn_from_all_there_is_and_what_is_missing_is_nothing():
    numbers = np.random.default_rng(0).normal(size=(113, 5, 3)).astype("float32")
    mean = numbers.mean(axis=1)[:, :2]
    # The two steps ahead differ: one is the mean of what was seen, the other its opposite.
    split = Split(numbers, np.stack([mean, -mean], axis=1), np.repeat([[1.0, 0.5]], 113, axis=0))
    assert bag.linear(tokens_task("explained"), split, split, 2) > 0.9
    gap = numbers.copy()
    gap[::7, 2, 1] = np.nan
    assert bag.linear(tokens_task("explained"), Split(gap, split.y), Split(gap, split.y), 2) > 0.7


def test_labels_at_places_of_their_own_are_drawn_from_all_there_is():
    tokens, has = present(613)
    split = Split(tokens, np.stack([has, 1 - has, has], axis=1))
    assert bag.linear(tokens_task(), split, split, 2) > 0.97


def test_weights_decide_which_labels_are_the_most_frequent():
    split = Split(np.zeros((5, 1), "int32"), np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.1, 0.1, 1.0, 1.0]))
    assert bag.constant(tokens_task(), split, split, 2) == pytest.approx(2.0 / 2.3)
