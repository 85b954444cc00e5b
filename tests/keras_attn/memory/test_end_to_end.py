"""The memory network against loops from the papers' equations, and what of the mixers' contract holds for it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import EndToEndMemory, SentenceEncoder
from tests.autodiff import gradient

# Torch's compiler takes minutes.
COMPILED = keras.backend.backend() != "torch"
B, T, S, D, HOPS = 3, 2, 7, 5, 3
RAGGED = np.arange(S)[None] < np.array([S, 5, 2])[:, None]
HOLES = np.array([[1, 1, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1]], dtype=bool)

TYINGS = ["adjacent", "layer_wise", "key_value"]
every = pytest.mark.parametrize("tying", TYINGS)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def built(tying="adjacent", **options):
    layer = EndToEndMemory(**{"hops": HOPS, "tying": tying, "slots": 11, **options})
    layer.build((None, None, D), (None, None, layer.tables, D))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    return layer


def story_of(layer, sentences=S, seed=2):
    return normal(B, sentences, layer.tables, D, seed=seed)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def by_loops(layer, query, story, mask, weigh=softmax):
    """The paper's equations, for one question after another, one sentence after another."""
    times = numpy(layer.times).astype("float64")
    states, weights = np.zeros(query.shape), np.zeros((B, layer.hops, T, S))
    for b in range(B):
        real = [s for s in range(S) if mask[b, s]]
        real = real[-layer.slots :]
        for t in range(T):
            u = query[b, t].astype("float64")
            for hop in range(layer.hops):
                a, c = (hop, hop + 1) if layer.tying == "adjacent" else (0, 1)
                ages = [len(real) - 1 - place for place in range(len(real))]
                m = np.array([story[b, s, a] + times[age, a] for s, age in zip(real, ages)])
                o = np.array([story[b, s, c] + times[age, c] for s, age in zip(real, ages)])
                p = weigh(m @ u)
                weights[b, hop, t, real] = p
                if layer.tying == "adjacent":
                    u = u + p @ o
                elif layer.tying == "layer_wise":
                    u = u @ numpy(layer.between) + p @ o
                else:
                    u = (u + p @ o) @ numpy(layer.between[hop])
            states[b, t] = u
    return states, weights


@every
@pytest.mark.parametrize("mask", [np.ones((B, S), dtype=bool), RAGGED, HOLES], ids=["full", "ragged", "holes"])
def test_hops_follow_the_equations(tying, mask):
    layer, query = built(tying), normal(B, T, D)
    story = story_of(layer)
    state, weights = layer(query, story, story_mask=mask, return_attention_scores=True)
    expected, shares = by_loops(layer, query, story, mask)
    close(weights, shares, 1e-4)
    close(state, expected, 1e-3)


@every
def test_a_linear_memory_has_scores_for_weights_and_no_softmax(tying):
    layer, query = built(tying), 0.3 * normal(B, T, D)
    layer.linear.assign(1.0)
    story = 0.3 * story_of(layer)
    state, weights = layer(query, story, story_mask=HOLES, return_attention_scores=True)
    expected, scores = by_loops(layer, query, story, HOLES, weigh=lambda z: z)
    close(weights, scores, 1e-3)
    close(state, expected, 1e-3)
    # Linear: twice what is asked of a hop gives twice the answer.
    one = built(tying, hops=1)
    one.linear.assign(1.0)
    story = story_of(one)
    close(one(2.0 * query, story), 2.0 * numpy(one(query, story)), 1e-4)


def test_times_count_back_from_the_last_real_sentence():
    layer, query = built(hops=1, slots=3), normal(B, 1, D)
    story, mask = story_of(layer), np.zeros((B, S), dtype=bool)
    mask[:, [1, 4]] = True
    _, weights = layer(query, story, story_mask=mask, return_attention_scores=True)
    times = numpy(layer.times)
    for b in range(B):
        older, newer = ((story[b, place, 0] + times[age, 0]) @ query[b, 0] for place, age in ((1, 1), (4, 0)))
        close(numpy(weights)[b, 0, 0, [1, 4]], softmax(np.array([older, newer])), 1e-4)


def test_only_the_last_sentences_are_remembered():
    layer = built(slots=2)
    story, query = story_of(layer), normal(B, T, D)
    _, weights = layer(query, story, story_mask=RAGGED, return_attention_scores=True)
    weights = numpy(weights)
    for b, count in enumerate((S, 5, 2)):
        assert np.all(weights[b, :, :, : count - 2] == 0.0) and np.all(weights[b, :, :, count - 2 : count] > 0.0)
    changed = story.copy()
    changed[0, : S - 2] = np.nan
    close(layer(query, changed, story_mask=RAGGED), layer(query, story, story_mask=RAGGED))


def test_without_slots_the_order_of_sentences_does_not_matter():
    layer = built(slots=None)
    story, query = story_of(layer), normal(B, T, D)
    close(layer(query, story[:, ::-1].copy()), layer(query, story))
    assert [w.path for w in layer.weights if "times" in w.path] == []


@every
def test_a_longer_story_and_one_question_by_itself_give_the_same(tying):
    layer, query = built(tying), normal(B, T, D)
    story = story_of(layer)
    longer = np.concatenate([story, normal(B, 4, layer.tables, D)], axis=1)
    mask = np.concatenate([RAGGED, np.zeros((B, 4), dtype=bool)], axis=1)
    expected, weights = layer(query, story, story_mask=RAGGED, return_attention_scores=True)
    close(layer(query, longer, story_mask=mask), expected)
    one, of_one = layer(query[:, 1], story, story_mask=RAGGED, return_attention_scores=True)
    close(one, expected[:, 1])
    close(of_one, weights[:, :, 1:])


@every
def test_what_stands_at_padding_never_reaches_the_output_nor_the_gradients(tying):
    layer, query = built(tying), normal(B, T, D)
    story = story_of(layer)
    expected = layer(query, story, story_mask=HOLES)
    for poison in (np.inf, np.nan, -1e30):
        poisoned = np.where(HOLES[..., None, None], story, poison).astype("float32")
        close(layer(query, poisoned, story_mask=HOLES), expected)
    grad = gradient(lambda x: ops.sum(ops.square(layer(query, x, story_mask=HOLES))), poisoned)
    assert np.isfinite(grad).all() and np.all(grad[~HOLES] == 0.0) and np.any(grad[HOLES])


def test_padded_questions_get_zeros():
    layer, query = built(), normal(B, T, D)
    query[1, 1] = np.nan
    mask = np.ones((B, T), dtype=bool)
    mask[1, 1] = False
    state = numpy(layer(query, story_of(layer), query_mask=mask))
    assert np.all(state[1, 1] == 0.0) and np.isfinite(state).all() and np.any(state[1, 0])


def test_questions_keep_their_mask_and_one_question_has_none():
    class Seen(keras.layers.Layer):
        def call(self, inputs, mask=None):
            seen.append(None if mask is None else numpy(mask).tolist())
            return inputs

    layer, words = built(), keras.layers.Embedding(9, D, mask_zero=True)
    seen, story = [], story_of(layer)
    Seen()(layer(words(np.array([[3, 4], [5, 0], [0, 0]])), story))
    Seen()(layer(normal(B, D), story))
    assert seen == [[[True, True], [True, False], [False, False]], None]


@every
@pytest.mark.parametrize("linear", [0.0, 1.0])
def test_of_an_empty_story_nothing_is_read(tying, linear):
    layer, mask = built(tying), np.ones((B, S), dtype=bool)
    layer.linear.assign(linear)
    mask[1] = False
    query, story = normal(B, T, D), story_of(layer)
    state, weights = layer(query, story, story_mask=mask, return_attention_scores=True)
    assert np.all(numpy(weights)[1] == 0.0) and np.any(numpy(weights)[0])
    if tying == "adjacent":
        close(state[1], query[1])
    close(layer(0.0 * query, story, story_mask=mask)[1], np.zeros((T, D)))
    grad = gradient(lambda x: ops.sum(ops.square(layer(query, x, story_mask=mask))), story)
    assert np.isfinite(grad).all() and np.all(grad[1] == 0.0)


def test_weights_are_a_distribution_over_real_sentences():
    layer = built()
    _, weights = layer(normal(B, T, D), story_of(layer), story_mask=HOLES, return_attention_scores=True)
    assert tuple(weights.shape) == (B, HOPS, T, S)
    close(numpy(weights).sum(-1), np.ones((B, HOPS, T)))
    assert np.all(np.moveaxis(numpy(weights), 3, 1)[~HOLES] == 0.0)


def test_noise_moves_sentences_back_in_training_only():
    layer = built(noise=0.5, seed=3, hops=1)
    plain = built(hops=1)
    query, story = normal(B, T, D), story_of(layer)
    close(layer(query, story), plain(query, story))
    assert not np.allclose(numpy(layer(query, story, training=True)), numpy(plain(query, story)), atol=1e-3)


def test_noise_has_the_share_of_empty_slots_it_was_told():
    sentences, noise = 101, 0.3
    layer = EndToEndMemory(hops=1, slots=200, noise=noise, seed=3)
    layer.build((None, D), (None, None, 2, D))
    # A row for times that says the time, and a question that asks for it: the score is the age.
    layer.times.assign(np.broadcast_to(np.arange(200)[:, None, None] * np.eye(D)[0], (200, 2, D)))
    layer.linear.assign(1.0)
    query, story = np.tile(np.eye(D)[:1], (59, 1)), np.zeros((59, sentences, 2, D))
    _, ages = layer(query, story, return_attention_scores=True, training=True)
    ages = numpy(ages)[:, 0, 0]
    assert np.all(np.diff(ages, axis=1) <= -1)
    assert ages[:, 0].mean() == pytest.approx((sentences - 1) + noise * sentences, abs=2.5)


@every
def test_shapes_are_known_before_the_values(tying):
    layer = EndToEndMemory(hops=HOPS, tying=tying)
    query, story = keras.Input((T, D)), keras.Input((None, layer.tables, D))
    state, weights = layer(query, story, return_attention_scores=True)
    assert state.shape == (None, T, D) and weights.shape == (None, HOPS, T, None)
    one, of_one = layer(keras.Input((D,)), story, return_attention_scores=True)
    assert one.shape == (None, D) and of_one.shape == (None, HOPS, 1, None)


def network(tying="adjacent", **options):
    """A model from ids to the logits of words."""
    memory = EndToEndMemory(**{"hops": HOPS, "tying": tying, "slots": 11, **options})
    encoder = SentenceEncoder(13, D, tables=memory.tables)
    story, question = keras.Input((None, 3), dtype="int32"), keras.Input((3,), dtype="int32")
    state = memory(encoder(question, table=0), encoder(story))
    return keras.Model([story, question], encoder(state, reverse=True))


def batch_of_ids(sentences=S):
    ids = np.random.default_rng(3).integers(1, 13, size=(B, sentences + 1, 3)).astype("int32")
    ids[1, 3:sentences] = 0
    return [ids[:, :-1], ids[:, -1]]


@every
def test_sentences_of_padding_move_nothing_in_a_model(tying):
    model, (story, question) = network(tying), batch_of_ids()
    close(model([story[1:2, :3], question[1:2]]), model([story, question])[1:2])


@every
def test_a_saved_model_computes_the_same(tying, tmp_path):
    model = network(tying, noise=0.1, seed=5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    close(again(batch_of_ids()), model(batch_of_ids()))
    memory = next(layer for layer in again.layers if isinstance(layer, EndToEndMemory))
    config = memory.get_config()
    assert [config[name] for name in ("hops", "tying", "slots", "noise", "seed")] == [HOPS, tying, 11, 0.1, 5]


@every
def test_a_training_step_moves_every_weight(tying):
    model = network(tying)
    before = [numpy(w).copy() for w in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    model.train_on_batch(batch_of_ids(), np.array([1, 2, 3]))
    assert not any(np.array_equal(old, numpy(new)) for old, new in zip(before, model.trainable_weights))


@pytest.mark.compiles
def test_stories_of_any_length_train_and_predict_compiled():
    model = network(noise=0.1)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=COMPILED)
    for sentences in (5, 11):
        x = batch_of_ids(sentences)
        model.train_on_batch(x, np.array([1, 2, 3]))
        close(model.predict_on_batch(x), model(x), 1e-4)


@every
@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision_stays_finite_with_large_inputs(tying, policy):
    layer = built(tying, dtype=policy)
    state, weights = layer(
        300.0 * normal(B, T, D), 300.0 * story_of(layer), story_mask=RAGGED, return_attention_scores=True
    )
    assert keras.backend.standardize_dtype(state.dtype) == keras.DTypePolicy(policy).compute_dtype
    assert np.isfinite(numpy(ops.cast(state, "float32"))).all()
    assert np.isfinite(numpy(ops.cast(weights, "float32"))).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hops": 0}, "hops"),
        ({"slots": 0}, "slots"),
        ({"tying": "adjacend"}, "Did you mean 'adjacent'"),
        ({"noise": 1.0}, "noise"),
        ({"noise": 0.1, "slots": None}, "without `slots`"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        EndToEndMemory(**options)


@pytest.mark.parametrize(
    "query, story",
    [((B, D), (B, S, D)), ((B, D), (B, S, HOPS, D)), ((B, D), (B, S, HOPS + 1, D + 2)), ((D,), (B, S, HOPS + 1, D))],
    ids=["no tables", "too few tables", "another width", "no batch"],
)
def test_a_story_that_does_not_fit_is_refused_and_the_error_says_what_does(query, story):
    with pytest.raises(ValueError, match=r"\(B, S, 4, 5\)" if len(query) > 1 else r"\(B, T, D\)"):
        EndToEndMemory(hops=HOPS)(np.zeros(query), np.zeros(story))


def test_a_story_of_no_sentences_leaves_the_question():
    query = np.ones((2, 3), "float32")
    state, weights = EndToEndMemory()(query, np.ones((2, 0, 4, 3), "float32"), return_attention_scores=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(state), query)
    assert tuple(weights.shape) == (2, 3, 1, 0)
