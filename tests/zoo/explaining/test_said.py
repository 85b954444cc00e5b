"""What models that answer in words look at, word by word."""

import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import inspection
from tests.zoo import test_caption, test_recognizer, test_seq2seq
from zoo.explaining import said

QUICK = {"method": "gradient_x_input"}
WORD = ("[START]", "d", "c", "a", "b", "[END]")


def numbers(x):
    return ops.convert_to_numpy(x)


def pair_inputs(model, source, outputs):
    """What the model is called with when it has said all but the last of its outputs."""
    inputs = {name: numbers(each) for name, each in model.preprocessor.generate_preprocess([source]).items()}
    ids = [model.preprocessor.tokenizer.token_to_id(token) for token in outputs]
    inputs["decoder_token_ids"] = np.array([[inputs["decoder_token_ids"][0, 0], *ids[:-1]]])
    inputs["decoder_padding_mask"] = np.ones_like(inputs["decoder_token_ids"])
    return inputs, ids


@pytest.mark.parametrize("kind", ["multi_head", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_each_token_of_a_text_shows_the_source_that_it_is_read_from(kind, tmp_path):
    model = test_seq2seq.language_model(kind)
    found = zoo.explain(model, "dcab", out=tmp_path / "a.html", **QUICK)
    assert (found.kind, found.subject) == ("text", WORD)
    assert repr(model.generate(["dcab"])[0]) in found.answer
    inputs, ids = pair_inputs(model, "dcab", found.outputs)
    assert numbers(model(inputs))[0].argmax(axis=-1).tolist() == ids and len(ids) > 1
    weights = inspection.weights(model, inputs)
    readers = [each[0] for name, each in weights.items() if name.endswith("reader")]
    looks = [look for name, look in found.looks.items() if name.startswith("weights of the reader")]
    assert len(looks) == len(readers) == (2 if kind == "hybrid" else 1)
    for look, each in zip(looks, readers):
        np.testing.assert_allclose(look, each[:, :, :6], rtol=1e-4, atol=1e-6)
    at = model.backbone.encoder.embedding.tokens.path
    slopes = inspection.sensitivity(model, inputs, output=lambda y: y[:, 1, ids[1]], at=at)[0]
    np.testing.assert_allclose(found.looks["sensitivity of each token"][0, 1], slopes[:6], rtol=1e-3, atol=1e-6)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Positions that look" in page and f'aria-label="{found.outputs[0]}"' in page


@pytest.mark.slow
def test_without_a_reader_there_are_derivatives_only():
    found = zoo.explain(test_seq2seq.language_model("gru"), "dcab", **QUICK)
    assert list(found.looks) == ["sensitivity of each token"]
    assert found.looks["sensitivity of each token"].shape == (1, len(found.outputs), 6)
    assert {each.shape for each in found.parts.values()} == {(6,)}


@pytest.mark.slow
def test_the_padding_of_a_source_of_one_length_is_not_shown():
    model = test_seq2seq.language_model("multi_head", encoder_sequence_length=test_seq2seq.S)
    found = zoo.explain(model, "cab", **QUICK)
    assert len(found.subject) == 5
    weights = found.looks["weights of the reader"]
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones(weights.shape[:2]), rtol=1e-4)
    assert {each.shape for each in found.parts.values()} == {(5,)}


@pytest.mark.parametrize("attention", [test_caption.SOFT, pytest.param(None, marks=pytest.mark.slow)])
def test_each_word_of_a_caption_shows_its_regions(attention, tmp_path):
    model = test_caption.captioner(attention)
    model.compile(run_eagerly=True)
    image = test_caption.pictures(["red up"])[0]
    found = zoo.explain(model, image, out=tmp_path / "a.png", **QUICK)
    assert (found.kind, found.grid) == ("image", (3, 5))
    assert repr(model.generate(image[None])[0]) in found.answer
    ids = [test_caption.TOKENIZER.token_to_id(word) for word in found.outputs]
    inputs = {"images": image[None], "token_ids": np.array([[2, *ids[:-1]]]), "padding_mask": np.ones((1, len(ids)))}
    assert numbers(model(inputs))[0].argmax(axis=-1).tolist() == ids
    if attention is None:
        assert list(found.looks) == ["sensitivity of each token"]
    else:
        weights = inspection.weights(model, inputs)["decoder"][0]  # (T, H, regions)
        np.testing.assert_allclose(found.looks["weights of decoder"], np.swapaxes(weights, 0, 1), rtol=1e-4)

    def of_pixels(x, **options):
        rows = {name: ops.repeat(ops.convert_to_tensor(each), ops.shape(x)[0], axis=0) for name, each in inputs.items()}
        return model({**rows, "images": ops.reshape(x, (-1, 6, 10, 3))}, **options)

    slopes = inspection.sensitivity(of_pixels, image.reshape(1, 60, 3), output=lambda y: y[:, -1, ids[-1]])[0]
    expected = np.sqrt((slopes.reshape(3, 2, 5, 2) ** 2).sum(axis=(1, 3))).ravel()
    np.testing.assert_allclose(found.looks["sensitivity of each token"][0, -1], expected, rtol=1e-3)
    titles = [panel.get_title() for panel in found.picture().axes]
    assert f"sensitivity of each token\n1. {found.outputs[0]}" in titles


def recognizer(mixer="additive", **options):
    backbone = test_recognizer.backbone(mixer, subsampling=2, stem_width=3, num_layers=1, **options)
    length = options.get("sequence_length")
    preprocessor = test_recognizer.preprocessor(sequence_length=length)
    return zoo.MixerSpeechRecognizer(backbone, test_recognizer.SYMBOLS, preprocessor)


@pytest.mark.parametrize("length", [None, pytest.param(17, marks=pytest.mark.slow)])
def test_each_symbol_that_is_heard_shows_its_frames(length, tmp_path):
    model, recording = recognizer(sequence_length=length), test_recognizer.recordings()[0]
    # So that symbols are heard, and not the blank.
    model.output_dense.bias.assign([-3.0, -3, -3, -3, 0, 0, 0])
    found = zoo.explain(model, recording, out=tmp_path / "a.png", **QUICK)
    inputs = model.preprocessor([recording])
    logits = numbers(model(inputs))[0, :7]
    ids = [model.preprocessor.tokenizer.token_to_id(symbol.replace("␣", " ")) for symbol in found.outputs]
    path = logits.argmax(axis=-1)
    assert ids == [now for now, before in zip(path, [None, *path]) if now != before]
    assert repr(model.generate([recording])[0]) in found.answer
    weights = next(iter(inspection.weights(model, inputs).values()))
    weights = weights.reshape(weights.shape[-2:])[:7, :7]
    (look,) = (each[0] for name, each in found.looks.items() if name.startswith("weights of "))
    first = logits[: 1 + np.flatnonzero(np.append(np.diff(path), 1))[0], ids[0]].argmax()
    np.testing.assert_allclose(look[0], weights[first], rtol=1e-4)
    assert found.looks["sensitivity of each token"].shape == (1, len(found.outputs), 7)


def test_of_tokens_in_turn_that_say_the_same_the_surest_counts():
    logits = np.full((7, 3), -5.0)
    for place, (symbol, logit) in enumerate([(1, 1), (1, 3), (1, 2), (0, 9), (1, 4), (2, 5), (2, 1)]):
        logits[place, symbol] = logit
    assert said._heard(logits).tolist() == [1, 4, 5]
    assert said._heard(logits[3:4]).tolist() == []


def test_where_nothing_is_heard_the_nearest_symbol_is_shown():
    model = recognizer("gru")
    model.output_dense.bias.assign([9.0, 0, 0, 0, 0, 5, 0])
    found = zoo.explain(model, test_recognizer.recordings()[0], **QUICK)
    assert found.outputs == ("b",) and "hears nothing" in found.answer
    assert found.looks["sensitivity of each token"].shape == (1, 1, 7)


@pytest.mark.slow
def test_a_transcriber_is_explained_by_frames_and_tokens():
    tokenizer = zoo.SymbolTokenizer(test_recognizer.VOCABULARY, "characters")
    backbone = test_recognizer.backbone(subsampling=2, stem_width=3, num_layers=1)
    preprocessor = zoo.MixerAudioToTextPreprocessor(tokenizer, decoder_sequence_length=3)
    model = zoo.MixerAudioToText(backbone, test_recognizer.SYMBOLS, preprocessor=preprocessor)
    found = zoo.explain(model, test_recognizer.recordings()[0], **QUICK)
    assert found.looks["weights of the reader"].shape[1:] == (len(found.outputs), 7)
    np.testing.assert_allclose(found.looks["weights of the reader"].sum(axis=-1), 1.0, rtol=1e-4)


def test_what_cannot_be_asked_is_refused():
    model = test_caption.captioner()
    with pytest.raises(ValueError, match=r"leave out `output`. Received: output=1"):
        zoo.explain(model, test_caption.pictures(["red up"])[0], output=1)
    with pytest.raises(ValueError, match=r"images of shape \(6, 10, 3\)"):
        zoo.explain(model, np.zeros((5, 10, 3)))
    with pytest.raises(ValueError, match="takes a text"):
        zoo.explain(test_seq2seq.language_model("gru"), "  ")
    model.preprocessor = None
    with pytest.raises(ValueError, match="explained with its preprocessor"):
        zoo.explain(model, test_caption.pictures(["red up"])[0])
