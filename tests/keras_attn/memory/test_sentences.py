import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import SentenceEncoder

V, S, J, R, D = 13, 3, 5, 2, 7


def numpy(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(numpy(actual), numpy(expected), rtol=tolerance, atol=tolerance)


def ids(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, V, size=shape).astype("int32")


def built(**options):
    layer = SentenceEncoder(V, D, **options)
    layer.build((None, None, None))
    return layer


def test_position_encoding_follows_the_paper_s_equation():
    layer, sentence = built(), ids(J)
    table = numpy(layer.embeddings)[:, 0]
    expected = np.zeros(D)
    for j in range(1, J + 1):
        for k in range(1, D + 1):
            expected[k - 1] += ((1 - j / J) - (k / D) * (1 - 2 * j / J)) * table[sentence[j - 1], k - 1]
    close(layer(sentence[None])[0], expected)


def test_of_two_words_the_weights_are_those_found_by_hand():
    layer = SentenceEncoder(3, 2)
    layer.build((None, None))
    layer.set_weights([np.array([[[0, 0]], [[100, 1000]], [[1, 10]]], dtype="float32")])
    # l_1 = (1/2, 1/2) and l_2 = (1/2, 1): half of the first word, and of the second half its first channel.
    close(layer(np.array([[1, 2]]))[0], [50.5, 510.0])
    # One word alone has l = (1/2, 1).
    close(layer(np.array([[1, 0]]))[0], [50.0, 1000.0])


def test_a_bag_of_words_is_their_sum_in_any_order():
    layer, sentence = built(encoding="bag"), ids(S, J)
    close(layer(sentence), numpy(layer.embeddings)[:, 0][sentence].sum(axis=1))
    close(layer(sentence[:, ::-1].copy()), layer(sentence))


def test_position_encoding_knows_the_order():
    layer, sentence = built(), np.array([[1, 2, 3]])
    assert not np.allclose(numpy(layer(sentence)), numpy(layer(sentence[:, ::-1].copy())), atol=1e-3)


@pytest.mark.parametrize("encoding", ["position", "bag"])
def test_padding_words_move_nothing_wherever_they_stand(encoding):
    layer = built(tables=R, encoding=encoding)
    expected = layer(np.array([[4, 2, 9]]))
    for padded in ([4, 2, 9, 0, 0], [0, 4, 0, 2, 9], [0, 0, 4, 2, 9]):
        close(layer(np.array([padded])), expected)
    assert np.all(numpy(layer(np.zeros((1, J), dtype="int32"))) == 0.0)


def test_several_tables_are_as_many_encoders():
    layer, story = built(tables=R), ids(2, S, J)
    together = numpy(layer(story))
    assert together.shape == (2, S, R, D)
    for table in range(R):
        close(layer(story, table=table), together[:, :, table])
        single = built()
        single.set_weights([numpy(layer.embeddings)[:, table : table + 1]])
        close(single(story), together[:, :, table])


def test_back_from_vectors_the_logits_are_products_with_the_last_table():
    layer = built(tables=R)
    vectors = np.random.default_rng(1).normal(size=(3, D)).astype("float32")
    close(layer(vectors, reverse=True), vectors @ numpy(layer.embeddings)[:, -1].T)


def test_a_sentence_without_words_is_masked():
    layer, story = built(), ids(2, S, J)
    story[1, 2] = 0
    assert numpy(layer.compute_mask(ops.convert_to_tensor(story))).tolist() == [[True] * 3, [True, True, False]]


@pytest.mark.parametrize("call", [{}, {"table": 1}, {"reverse": True}], ids=["tables", "one table", "reverse"])
def test_shapes_are_known_before_the_values(call):
    reverse = "reverse" in call
    symbolic = built(tables=R)(keras.Input((S, D if reverse else J), dtype="float32" if reverse else "int32"), **call)
    eager = built(tables=R)(np.ones((2, S, D), "float32") if reverse else ids(2, S, J), **call)
    assert symbolic.shape[1:] == tuple(eager.shape)[1:]


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision_stays_near_and_finite(policy):
    layer, story = built(tables=R, dtype=policy), ids(2, S, J)
    vectors = layer(story)
    assert keras.backend.standardize_dtype(vectors.dtype) == keras.DTypePolicy(policy).compute_dtype
    single = built(tables=R)
    single.set_weights([w.astype("float32") for w in layer.get_weights()])
    close(ops.cast(vectors, "float32"), single(story), 2e-2)


def test_a_saved_encoder_computes_the_same(tmp_path):
    inputs = keras.Input((S, J), dtype="int32")
    model = keras.Model(inputs, built(tables=R, encoding="bag")(inputs))
    model.save(tmp_path / "model.keras")
    close(keras.models.load_model(tmp_path / "model.keras")(ids(2, S, J)), model(ids(2, S, J)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"units": 0}, "units"),
        ({"tables": 0}, "tables"),
        ({"encoding": "positions"}, "Did you mean 'position'"),
    ],
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        SentenceEncoder(**{"vocabulary_size": V, "units": D, **options})


def test_what_cannot_go_back_and_tables_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="width 7"):
        built()(np.ones((2, 5), "float32"), reverse=True)
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        built(tables=R)(ids(S, J), table=2)


def test_word_ids_that_are_not_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="dtype='int32'"):
        SentenceEncoder(11, 4)(keras.Input((5, 3)))
