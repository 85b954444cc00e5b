"""Encoder and decoder: masks, steps, samplers, presets."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import inspection, mixers
from tests.families import first_of_families
from tests.zoo.helpers import keys_of
from zoo import safety, store

B, S, T, D, SOURCES, TARGETS = 3, 7, 5, 11, 17, 13
#: A decoder's mixers and its readers: implicit, explicit, and of both kinds.
DECODERS = {
    "gru": ("gru", None),
    "multi_head": ("multi_head", "multi_head"),
    "hybrid": (["gru", "multi_head"], ["location_sensitive", "monotonic"]),
}
every_decoder = pytest.mark.parametrize("kind", DECODERS)
WORDS = ["cab", "bad", "abba", "a", "dcab", "ba"]
SOUNDS = ["K AE B", "B AE D", "AE B B AE", "AE", "D K AE B", "B AE"]
LETTERS = zoo.SymbolTokenizer.of(WORDS, split="characters")
PHONES = zoo.SymbolTokenizer.of(SOUNDS)
CAN_STEP = [name for name in mixers.names() if mixers.get(name).can_step and not mixers.get(name).fixed_length]
CAN_READ = [name for name in mixers.names() if mixers.get(name).can_read]


def backbone(decoder_mixer="gru", reader="additive", sizes=(SOURCES, TARGETS), **options):
    layers = 2 if isinstance(decoder_mixer, list) or isinstance(reader, list) else 1
    options = {"hidden_dim": D, "num_layers": layers, "encoder_mixer": "gated_conv", **options}
    return zoo.MixerSeq2SeqBackbone(*sizes, decoder_mixer=decoder_mixer, reader=reader, **options)


def language_model(kind="hybrid", sampler="greedy", **options):
    """A model of letters and phones with random weights, large enough to tell sources apart."""
    preprocessor = zoo.MixerSeq2SeqLMPreprocessor(PHONES, LETTERS, encoder_sequence_length=S, decoder_sequence_length=T)
    sizes = LETTERS.vocabulary_size(), PHONES.vocabulary_size()
    model = zoo.MixerSeq2SeqLM(backbone(*DECODERS[kind], sizes=sizes, **options), preprocessor)
    # The same on every backend.
    random = np.random.default_rng(6)
    for variable in model.trainable_variables:
        variable.assign(0.4 * random.normal(size=variable.shape) + (variable.name == "gamma"))
    # Eagerly: nothing is compiled for the few steps.
    model.compile(sampler=sampler, run_eagerly=True)
    return model


def batch(sources=(7, 5, 2), targets=(5, 3, 1), widths=(S, T), seed=0):
    random, inputs = np.random.default_rng(seed), {}
    for part, lengths, width, size in zip(("encoder", "decoder"), (sources, targets), widths, (SOURCES, TARGETS)):
        inputs[f"{part}_token_ids"] = random.integers(0, size, (B, width)).astype("int32")
        inputs[f"{part}_padding_mask"] = (np.arange(width)[None] < np.array(lengths)[:, None]).astype("int32")
    return inputs


def numpy(x):
    return ops.convert_to_numpy(x)


def vectors(model, inputs):
    return numpy(model(inputs)["decoder_sequence_output"])


def close_where(mask, actual, expected):
    mask = mask.astype(bool)
    np.testing.assert_allclose(actual[mask], expected[mask], rtol=1e-4, atol=1e-5)


def check_steps(model, inputs):
    """Step by step the decoder gives what it gives all at once."""
    mask = inputs["encoder_padding_mask"]
    memory = model.encoder(inputs["encoder_token_ids"], padding_mask=mask)
    state, steps = model.decoder.initial_state(memory, mask, max_length=T), []
    for t in range(T):
        output, state = model.decoder.step(ops.convert_to_tensor(inputs["decoder_token_ids"][:, t]), state)
        steps.append(numpy(output))
    close_where(inputs["decoder_padding_mask"], np.stack(steps, axis=1), vectors(model, inputs))


@every_decoder
def test_step_by_step_equals_all_at_once(kind):
    check_steps(backbone(*DECODERS[kind]), batch())


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of_families(CAN_STEP))
def test_step_by_step_equals_all_at_once_with_each_mixer(name):
    check_steps(backbone(name), batch())


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of_families(CAN_READ))
def test_step_by_step_equals_all_at_once_with_each_reader(name):
    check_steps(backbone("identity", name, encoder_sequence_length=S), batch())


@every_decoder
def test_a_decoder_does_not_look_ahead(kind):
    model, inputs = backbone(*DECODERS[kind]), batch(targets=(T, T, T))
    changed = {**inputs, "decoder_token_ids": (inputs["decoder_token_ids"] + [[0, 0, 1, 2, 3]]) % TARGETS}
    before, after = vectors(model, inputs), vectors(model, changed)
    np.testing.assert_allclose(before[:, :2], after[:, :2], atol=1e-5)
    assert np.abs(before[:, 2:] - after[:, 2:]).max() > 1e-3


@every_decoder
def test_what_stands_at_padded_positions_and_how_many_there_are_changes_nothing(kind):
    model, short, long = backbone(*DECODERS[kind]), batch(), batch(widths=(S + 4, T + 2), seed=1)
    for name, array in short.items():
        real = short[name.replace("token_ids", "padding_mask")] > 0
        long[name][:, : array.shape[1]][real] = array[real]
    close_where(short["decoder_padding_mask"], vectors(model, long)[:, :T], vectors(model, short))


@every_decoder
def test_the_source_matters(kind):
    model, inputs = backbone(*DECODERS[kind]), batch()
    other = {**inputs, "encoder_token_ids": (inputs["encoder_token_ids"] + 1) % SOURCES}
    assert (np.abs(vectors(model, inputs) - vectors(model, other)).max(axis=(1, 2)) > 1e-3).all()


@every_decoder
def test_a_training_step_moves_every_weight(kind):
    model = language_model(kind)
    before = [numpy(ops.copy(variable)) for variable in model.trainable_variables]
    model.train_on_batch({"encoder_text": WORDS, "decoder_text": SOUNDS})
    still = [v.path for v, old in zip(model.trainable_variables, before) if np.array_equal(numpy(v), old)]
    assert not still


def test_a_sequence_of_padding_has_a_finite_answer():
    assert np.isfinite(vectors(backbone("gru", None), batch(sources=(0, 3, 1)))).all()


def test_half_precision_is_finite():
    model = language_model("hybrid", dtype="bfloat16")
    assert len(model.generate(WORDS)) == len(WORDS)
    assert np.isfinite(
        numpy(ops.cast(model(model.preprocessor({"encoder_text": WORDS, "decoder_text": SOUNDS})[0]), "float32"))
    ).all()


@every_decoder
def test_a_text_in_a_batch_is_answered_as_alone(kind):
    model = language_model(kind)
    together = model.generate(WORDS)
    assert len(set(together)) > 1
    assert [model.generate(word) for word in WORDS[1:3]] == together[1:3]
    model.preprocessor.encoder_sequence_length = S + 6
    assert model.generate(WORDS) == together


@every_decoder
def test_one_beam_is_greedy_and_more_are_not(kind):
    model = language_model(kind)
    greedy = model.generate(WORDS)
    model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=1), run_eagerly=True)
    assert model.generate(WORDS) == greedy
    model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=5), run_eagerly=True)
    assert model.generate(WORDS) != greedy


def test_beams_are_the_better_the_more_there_are():
    model, found = language_model("hybrid"), {}
    for beams in (1, 2, 7):
        model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=beams), run_eagerly=True)
        inputs = model.preprocessor.generate_preprocess(WORDS)
        found[beams] = likelihood(model, inputs, model.generate_step(inputs, [PHONES.end_token_id]))
    assert (found[7] >= found[1] - 1e-4).all() and found[7].sum() > found[2].sum() > found[1].sum()


def likelihood(model, inputs, outputs):
    """The log-probability of each answer, all at once."""
    ids, mask = (numpy(outputs[f"decoder_{what}"]) for what in ("token_ids", "padding_mask"))
    given = {"decoder_token_ids": ids, "decoder_padding_mask": mask.astype("int32")}
    logits = numpy(model({name: given.get(name, numpy(x)) for name, x in inputs.items()}))
    logits = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    each = np.take_along_axis(logits[:, :-1], ids[:, 1:, None], axis=2)[..., 0]
    return (each * mask[:, 1:]).sum(axis=1)


def test_an_answer_goes_on_from_its_beginning():
    model = language_model("hybrid")
    inputs = {name: numpy(x) for name, x in model.preprocessor.generate_preprocess(WORDS).items()}
    free = {name: numpy(x) for name, x in model.generate_step(inputs, [PHONES.end_token_id]).items()}
    # Beginnings of several lengths. One that has an end already is another matter: its end is not the answer's.
    given = free["decoder_padding_mask"] & (np.arange(T)[None] < np.array([[1], [2], [3], [1], [4], [2]]))
    begun = {"decoder_token_ids": np.where(given, free["decoder_token_ids"], 0), "decoder_padding_mask": given}
    found = model.generate_step({**inputs, **begun}, [PHONES.end_token_id])
    real = free["decoder_padding_mask"] & ~(given & (free["decoder_token_ids"] == PHONES.end_token_id)).any(1)[:, None]
    assert real[:, 1:].any(axis=1).sum() > 2
    np.testing.assert_array_equal(numpy(found["decoder_token_ids"])[real], free["decoder_token_ids"][real])
    forced = model.generate({"encoder_text": WORDS, "decoder_text": ["D D"] * len(WORDS)})
    assert all(answer.startswith("D D") for answer in forced) and forced != model.generate(WORDS)


def test_an_answer_is_as_long_as_it_may_be_at_most():
    model = language_model("gru")
    model.compile(sampler="top_k", run_eagerly=True)
    assert all(len(answer.split()) <= 2 for answer in model.generate(WORDS, max_length=3))


@pytest.mark.trains
def test_there_is_no_prompt_to_strip():
    with pytest.raises(ValueError, match="no source"):
        language_model().generate(["abc"], strip_prompt=True)


def test_letters_to_phones_are_learnt_from_pairs_of_texts():
    sizes = LETTERS.vocabulary_size(), PHONES.vocabulary_size()
    preprocessor = zoo.MixerSeq2SeqLMPreprocessor(
        PHONES, LETTERS, encoder_sequence_length=S, decoder_sequence_length=T + 2
    )
    model = zoo.MixerSeq2SeqLM(backbone("gated_conv", sizes=sizes, hidden_dim=23), preprocessor)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    # Ten times in each epoch: an epoch costs more than the steps in it.
    pairs = {"encoder_text": 10 * WORDS, "decoder_text": 10 * SOUNDS}
    model.fit(pairs, epochs=6, batch_size=len(WORDS), verbose=0)
    assert model.generate(WORDS) == SOUNDS


def test_word_pieces_go_in_and_come_out():
    tokenizer = zoo.MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun", "##ny", "film"])
    preprocessor = zoo.MixerSeq2SeqLMPreprocessor(tokenizer, encoder_sequence_length=S, decoder_sequence_length=T)
    x, y, weight = preprocessor({"encoder_text": ["Funny good film"], "decoder_text": ["good"]})
    assert numpy(x["encoder_token_ids"]).tolist() == [[2, 5, 6, 4, 7, 3, 0]]
    assert numpy(x["decoder_token_ids"]).tolist() == [[2, 4, 3, 0, 0]] and numpy(y).tolist() == [[4, 3, 0, 0, 0]]
    assert numpy(weight).astype(int).tolist() == [[1, 1, 0, 0, 0]]
    model = zoo.MixerSeq2SeqLM(backbone(sizes=(8, 8)), preprocessor)
    model.compile(run_eagerly=True)
    assert set("".join(model.generate("good film")).split()) <= {
        "good",
        "fun",
        "ny",
        "film",
        "[UNK]",
        "goodny",
        "funny",
    }


def test_a_token_that_no_vocabulary_has_is_not_written():
    preprocessor = zoo.MixerSeq2SeqLMPreprocessor(PHONES, LETTERS, encoder_sequence_length=S, decoder_sequence_length=T)
    ids = np.array([[PHONES.start_token_id, PHONES.token_to_id("AE"), PHONES.vocabulary_size(), PHONES.end_token_id]])
    found = {"decoder_token_ids": ids, "decoder_padding_mask": np.ones_like(ids)}
    assert preprocessor.generate_postprocess(found) == ["AE"]


def test_the_weights_of_each_reader_can_be_shown():
    model, inputs = backbone("gru", ["additive", {"mixer": "multi_head", "num_heads": 2}]), batch()
    found = {name: weights for name, weights in inspection.weights(model, inputs).items() if "reader" in name}
    assert [weights.shape for weights in found.values()] == [(B, T, S), (B, 2, T, S)]
    hidden = inputs["encoder_padding_mask"] == 0
    assert all((np.moveaxis(weights, -1, 1)[hidden] == 0.0).all() for weights in found.values())


@pytest.mark.parametrize("kind", ["gru", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_a_preset_with_two_tokenizers_comes_back(kind, tmp_path):
    model = language_model(kind)
    answers = model.generate(WORDS)
    store.save(model, tmp_path / "preset")
    assert {"tokenizer.json", "source_tokenizer.json"} <= {file.name for file in (tmp_path / "preset").iterdir()}
    for load in (store.load, keras_hub.models.Seq2SeqLM.from_preset):
        again = load(str(tmp_path / "preset"))
        assert type(again) is zoo.MixerSeq2SeqLM and again.backbone.get_config() == model.backbone.get_config()
        again.compile(run_eagerly=True)
        assert again.generate(WORDS) == answers
    keys = keys_of(tmp_path / "preset" / "model.weights.h5")
    assert "layers/token_decoder/blocks/decoder_block/block/mixer/onward/cell/vars/0" in keys
    assert "layers/token_encoder/embedding/tokens/vars/0" in keys


def test_models_of_both_directions_share_their_tokenizers(tmp_path):
    def model(source, target):
        stack = backbone("gru", None, sizes=(source.vocabulary_size(), target.vocabulary_size()))
        return zoo.MixerSeq2SeqLM(stack, zoo.MixerSeq2SeqLMPreprocessor(target, source, 5, 5))

    there = model(LETTERS, PHONES)
    back = model(there.preprocessor.tokenizer, there.preprocessor.source_tokenizer)
    for name, task, expected in (
        ("there", there, [LETTERS, PHONES]),
        ("back", back, [PHONES, LETTERS]),
        ("alone", model(PHONES, PHONES), [None, PHONES]),
    ):
        store.save(task, tmp_path / name)
        found = store.load(tmp_path / name).preprocessor
        for tokenizer, of in zip((found.source_tokenizer, found.tokenizer), expected):
            assert (of is None) == (tokenizer is None)
            assert of is None or tokenizer.get_vocabulary() == of.get_vocabulary()
    assert {LETTERS.config_file, PHONES.config_file} == {"tokenizer.json"}


def test_two_tokenizers_from_elsewhere_are_refused(tmp_path):
    store.save(language_model("gru"), tmp_path / "preset")
    file = tmp_path / "preset" / "preprocessor.json"
    file.write_text(file.read_text().replace("source_tokenizer.json", "../source_tokenizer.json"))
    safety.write_checksums(tmp_path / "preset")
    with pytest.raises(zoo.PresetError, match="not a plain file name"):
        store.load(tmp_path / "preset")


def test_layers_are_the_same_after_their_config():
    model = backbone(*DECODERS["hybrid"])
    for layer in (model.encoder, model.decoder, *model.decoder.blocks, model.decoder.embedding):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert zoo.MixerSeq2SeqBackbone.from_config(model.get_config()).get_config() == model.get_config()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"reader": "gru"}, "A reader is an explicit mixer .*: additive, .* Received: 'gru'"),
        ({"reader": {"mixer": "multi_head", "positions": "rotary"}}, "A reader is an explicit mixer"),
        ({"reader": "delta_rule"}, "one after another"),
        ({"reader": "addditive"}, "Did you mean 'additive'"),
        ({"reader": "location"}, "give `encoder_sequence_length`"),
        ({"reader": ["additive"] * 3}, "Received: 3 readers for num_layers=2"),
        ({"decoder_mixer": {"mixer": "lstm", "bidirectional": True}}, "looks both ways"),
        ({"decoder_mixer": {"mixer": "gmlp", "positions": 5}}, "goes step by step, and the mixer .*gmlp.* cannot"),
        ({"encoder_mixer": "token_mlp"}, "works for one length only"),
        ({"num_layers": 0}, "`num_layers` must be an integer of at least 1"),
    ],
)
def test_what_no_encoder_and_decoder_can_be_made_of_is_said_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_an_encoder_of_one_length_is_possible():
    model = backbone(encoder_mixer="token_mlp", reader="location", encoder_sequence_length=S)
    assert vectors(model, batch()).shape == (B, T, D)
