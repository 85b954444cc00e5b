import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

import zoo
from keras_attn import mixers
from tests.zoo.helpers import CAUSAL, VOCABULARY, T, fresh_process, text_backbone, token_batch
from zoo.perplexity import surprisals

TEXT = "to be or not to be that is the question"
CAN_STEP = [name for name in CAUSAL if mixers.get(name).can_step and not mixers.get(name).fixed_length]
SMALL = [
    "gru",
    "min_gru",
    "gated_conv",
    "multi_head",
    {"mixer": "persistent_memory", "num_heads": 1},
    {"mixer": "segment_memory", "num_heads": 1, "segment_length": 3},
    ["gru", {"mixer": "multi_head", "num_heads": 1, "positions": "rotary"}],
]


def numbers(x):
    return ops.convert_to_numpy(x)


def language_model(mixer, seed=0, **options):
    """A model without preprocessor, whose logits differ enough from each other to tell tokens apart."""
    keras.utils.set_random_seed(seed)
    own = {name: options.pop(name) for name in ("tied", "dropout") if name in options}
    options = {"num_layers": len(mixer) if isinstance(mixer, list) else 1, **options}
    model = zoo.MixerCausalLM(text_backbone(mixer, causal=True, **options), **own)
    model.set_weights(
        [weight + np.random.normal(0, 0.3, weight.shape).astype("float32") for weight in model.get_weights()]
    )
    return model


def step_by_step(model, token_ids):
    state, found = model.initial_state(len(token_ids), token_ids.shape[1]), []
    for place in range(token_ids.shape[1]):
        logits, state = model.step(token_ids[:, place], state)
        found.append(numbers(logits))
    return np.stack(found, axis=1)


def name_of(mixer):
    return (
        mixer
        if isinstance(mixer, str)
        else "+".join(map(name_of, mixer))
        if isinstance(mixer, list)
        else mixer["mixer"]
    )


@pytest.mark.parametrize("mixer", SMALL, ids=name_of)
def test_logits_from_a_state_equal_those_all_at_once(mixer):
    model, batch = language_model(mixer), token_batch(lengths=(T, T, T))
    np.testing.assert_allclose(step_by_step(model, batch["token_ids"]), numbers(model(batch)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", CAN_STEP)
def test_each_mixer_that_can_step_does_so_in_a_model(name):
    model, batch = language_model({"mixer": name}, hidden_dim=8), token_batch(lengths=(T, T, T))
    np.testing.assert_allclose(step_by_step(model, batch["token_ids"]), numbers(model(batch)), atol=1e-4)


@pytest.mark.parametrize("mixer", SMALL, ids=name_of)
def test_several_tokens_read_at_once_are_read_as_all_are(mixer):
    model, batch = language_model(mixer, positions="sinusoid"), token_batch(lengths=(T, T, T))
    state, vectors = model.initial_state(len(batch["token_ids"]), T), []
    for part in (slice(0, 3), slice(3, T)):
        read, state = model.backbone.prefill(ops.convert_to_tensor(batch["token_ids"][:, part]), state)
        vectors.append(numbers(read))
    np.testing.assert_allclose(np.concatenate(vectors, axis=1), numbers(model.backbone(batch)), atol=1e-4)


def prompts(lengths=(5, 2, 3), width=11):
    batch = {name: each[:, :width] for name, each in token_batch(lengths, width=29, seed=3).items()}
    return {"token_ids": batch["token_ids"] * batch["padding_mask"], "padding_mask": batch["padding_mask"]}


def generated(model, sampler, stop_token_ids=None, run_eagerly=True, **given):
    """What the model makes of the prompts. Compiling takes seconds each time, and shows little."""
    model.compile(sampler=sampler, run_eagerly=run_eagerly)
    inputs = {name: ops.convert_to_tensor(each) for name, each in prompts(**given).items()}
    return {name: numbers(each) for name, each in model.generate(inputs, stop_token_ids=stop_token_ids).items()}


def check_greedy(model, token_ids):
    """Each token that was not given is the likeliest after those before it, by one pass over the whole text."""
    given = prompts()
    best = numbers(model({"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)})).argmax(axis=-1)
    real = given["padding_mask"].astype(bool)
    np.testing.assert_array_equal(token_ids[:, 1:], np.where(real, given["token_ids"], np.roll(best, 1, axis=1))[:, 1:])


@pytest.mark.parametrize("mixer", [SMALL[-1], pytest.param(SMALL[-2], marks=pytest.mark.slow)], ids=name_of)
def test_greedy_texts_are_those_of_the_definition_with_a_state_and_without(mixer, monkeypatch):
    model = language_model(mixer)
    check_greedy(model, generated(model, "greedy")["token_ids"])
    monkeypatch.setattr(zoo.MixerCausalLM, "can_step", False)
    check_greedy(model, generated(model, "greedy")["token_ids"])


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_prompts_are_read_by_blocks_and_what_is_left_of_them_step_by_step(run_eagerly, monkeypatch):
    model, given = language_model(SMALL[-1]), {"lengths": (8, 6, 7), "run_eagerly": run_eagerly}
    read, prefill = [], model.backbone.prefill
    monkeypatch.setattr(zoo.language, "BLOCK", 2)
    monkeypatch.setattr(model.backbone, "prefill", lambda ids, state: read.append(ids.shape[1]) or prefill(ids, state))
    by_blocks = generated(model, "greedy", **given)["token_ids"]
    assert set(read) == {1, 2}
    monkeypatch.setattr(zoo.MixerCausalLM, "can_step", False)
    np.testing.assert_array_equal(by_blocks, generated(model, "greedy", **given)["token_ids"])


SAMPLERS = {
    "beam": lambda: keras_hub.samplers.BeamSampler(num_beams=3),
    "top_k": lambda: keras_hub.samplers.TopKSampler(k=5, seed=7),
    "top_p": lambda: keras_hub.samplers.TopPSampler(p=0.9, seed=7),
}


@pytest.mark.parametrize("sampler", ["beam", "top_k", pytest.param("top_p", marks=pytest.mark.slow)])
def test_each_sampler_says_the_same_with_a_state_and_without(sampler, monkeypatch):
    model = language_model(SMALL[-1])
    with_state = generated(model, SAMPLERS[sampler]())
    monkeypatch.setattr(zoo.MixerCausalLM, "can_step", False)
    without = generated(model, SAMPLERS[sampler]())
    np.testing.assert_array_equal(with_state["token_ids"], without["token_ids"])
    given = prompts()
    real = given["padding_mask"].astype(bool)
    np.testing.assert_array_equal(with_state["token_ids"][real], given["token_ids"][real])


def test_beams_find_a_text_that_is_at_least_as_likely():
    model = language_model("gated_conv")

    def likelihood(ids):
        batch = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        log_p = numbers(ops.log_softmax(model(batch)))[:, 4:-1]
        return np.take_along_axis(log_p, ids[:, 5:, None], axis=-1).sum()

    found = {
        name: likelihood(generated(model, sampler, lengths=(5,), width=11)["token_ids"])
        for name, sampler in (("greedy", "greedy"), ("beam", keras_hub.samplers.BeamSampler(num_beams=29)))
    }
    assert found["beam"] >= found["greedy"]


@pytest.mark.parametrize("seed", range(6))
def test_beams_answer_a_prompt_in_a_batch_as_they_do_alone(seed):
    model = language_model("gated_conv", seed=seed)
    model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3), run_eagerly=True)
    batch = prompts(lengths=(2, 5))
    together = numbers(model.generate(dict(batch), stop_token_ids=[3, 7])["token_ids"])
    for row in range(2):
        alone = model.generate({name: each[row : row + 1] for name, each in batch.items()}, stop_token_ids=[3, 7])
        real = numbers(alone["padding_mask"])[0].astype(bool)
        np.testing.assert_array_equal(together[row][real], numbers(alone["token_ids"])[0][real])


def test_a_text_ends_at_its_first_new_stop_token():
    model = language_model("gated_conv")
    whole = generated(model, "greedy")["token_ids"]
    stop = int(whole[1, 6])
    found = generated(model, "greedy", stop_token_ids=(stop, VOCABULARY + 1))
    for row, (ids, given) in enumerate(zip(whole, prompts()["padding_mask"])):
        new = [place for place in range(given.sum(), len(ids)) if ids[place] == stop]
        end = new[0] + 1 if new else len(ids)
        assert found["padding_mask"][row].astype(int).tolist() == [1] * end + [0] * (len(ids) - end)
        assert found["token_ids"][row, :end].tolist() == ids[:end].tolist()


@pytest.mark.parametrize("mixer", ["gmlp", "location"])
def test_a_model_for_one_length_generates_texts_up_to_it(mixer):
    model = language_model(mixer)  # Its length is T.
    lengths = (5, 2, 3)
    shorter = generated(model, "greedy", lengths=lengths, width=6)["token_ids"]
    np.testing.assert_array_equal(generated(model, "greedy", lengths=lengths, width=T)["token_ids"][:, :6], shorter)
    with pytest.raises(ValueError, match=f"made for {T} tokens"):
        generated(model, "greedy", lengths=lengths, width=11)


def test_tied_logits_are_products_with_the_embeddings():
    model, batch = language_model("min_gru"), token_batch()
    table, bias = numbers(model.backbone.token_embedding.embeddings), numbers(model.output_dense.bias)
    expected = numbers(model.backbone(batch)) @ table.T + bias
    np.testing.assert_allclose(numbers(model(batch)), expected, atol=1e-4)
    loose = language_model("min_gru", tied=False)
    assert loose.count_params() - model.count_params() == 11 * VOCABULARY


def test_tied_embeddings_are_not_quantized_unnoticed():
    model = language_model("min_gru", hidden_dim=8)
    model.backbone.token_embedding.quantize("int8")
    with pytest.raises(ValueError, match="cannot be quantized"):
        model(token_batch())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_float32_whatever_the_backbone_computes_in(dtype, tied):
    model, batch = language_model("gated_conv", dtype=dtype, tied=tied), token_batch(lengths=(T, T, T))
    logits = model(batch)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_allclose(step_by_step(model, batch["token_ids"]), numbers(logits), atol=0.3)


def test_a_state_keeps_its_dtypes_in_a_loop_of_half_precision():
    found = generated(language_model(SMALL[-1], dtype="mixed_bfloat16"), "greedy")["token_ids"]
    real = prompts()["padding_mask"].astype(bool)
    np.testing.assert_array_equal(found[real], prompts()["token_ids"][real])
    assert (found[~real] > 0).any()


def test_dropout_acts_in_training_alone():
    model, batch = language_model("min_gru", dropout=0.5), token_batch()
    still = numbers(model(batch))
    np.testing.assert_array_equal(numbers(model(batch)), still)
    assert not np.allclose(numbers(model(batch, training=True)), still)


def test_what_sees_the_future_cannot_foretell():
    with pytest.raises(ValueError, match="needs `causal=True`"):
        zoo.MixerCausalLM(text_backbone("gru"))


TOKENIZERS = {
    "words": lambda: zoo.SymbolTokenizer.of([TEXT]),
    "characters": lambda: zoo.SymbolTokenizer.of([TEXT], split="characters"),
    "pieces": lambda: zoo.MixerTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(TEXT.split()) - {"is"}), "i", "##s"]
    ),
}


# One of the three stands for the others: most of the time goes into compiling.
@pytest.fixture(params=["words", *(pytest.param(name, marks=pytest.mark.slow) for name in ("characters", "pieces"))])
def raw_model(request):
    tokenizer = TOKENIZERS[request.param]()
    options = {"hidden_dim": 31, "num_layers": 1, "mixer": "gated_conv", "causal": True}
    backbone = zoo.MixerTextBackbone(tokenizer.vocabulary_size(), **options)
    length = 47 if request.param == "characters" else 13
    model = zoo.MixerCausalLM(backbone, zoo.MixerCausalLMPreprocessor(tokenizer, sequence_length=length))
    model.compile(keras.optimizers.Adam(0.02), sampler="greedy", run_eagerly=True)
    return model


@pytest.mark.parametrize("name", TOKENIZERS)
def test_labels_are_the_tokens_one_place_further(name):
    preprocessor = zoo.MixerCausalLMPreprocessor(TOKENIZERS[name](), sequence_length=13)
    inputs, labels, weights = (keras.tree.map_structure(numbers, each) for each in preprocessor(["to be", "not"]))
    tokenizer = preprocessor.tokenizer
    ids = [tokenizer.start_token_id, *map(int, tokenizer("to be")), tokenizer.end_token_id]
    assert inputs["token_ids"][0, : len(ids)].tolist() == ids
    np.testing.assert_array_equal(labels[:, :-1], inputs["token_ids"][:, 1:])
    assert weights[0].astype(int).sum() == len(ids) - 1 and labels[0, len(ids) - 2] == ids[-1]
    prompt = preprocessor.generate_preprocess(["to be"], sequence_length=13)
    assert numbers(prompt["token_ids"])[0, numbers(prompt["padding_mask"])[0].astype(bool)].tolist() == ids[:-1]


@pytest.mark.trains
def test_a_model_learns_from_raw_text_and_goes_on_with_it(raw_model):
    raw_model.compile(keras.optimizers.Adam(0.02), sampler="greedy")
    raw_model.fit([TEXT] * 32, epochs=15, verbose=0)
    assert raw_model.generate(["to be or not", "to be or"]) == [TEXT, TEXT]
    raw_model.compile(sampler="greedy", run_eagerly=True)
    assert raw_model.generate("to be or") == TEXT
    assert raw_model.generate("to be or", strip_prompt=True).strip() == TEXT.removeprefix("to be or").strip()


def test_any_text_is_a_prompt_the_empty_one_too(raw_model):
    assert isinstance(raw_model.generate("", max_length=7), str)
    with pytest.raises(ValueError, match="`stop_token_ids=None`"):
        language_model("gru").generate(prompts())


def surprisal_by_loops(model, ids, window, stride):
    """Each token by itself, after those before it that are in the first window that counts it."""
    found = []
    for place in range(1, len(ids)):
        later = max(0, -(-(place - window) // stride))
        end = min(window + later * stride, len(ids) - 1)
        before = ids[None, max(0, end - window) : place]
        logits = model({"token_ids": before, "padding_mask": np.ones_like(before)})
        found.append(-numbers(ops.log_softmax(logits))[0, -1, ids[place]])
    return np.array(found)


@pytest.mark.parametrize("window,stride", [(5, 2), (3, 3), (7, 1), (29, 4)])
def test_each_token_of_a_stream_is_foretold_once_from_its_window(window, stride):
    model, ids = language_model("gated_conv"), np.random.default_rng(0).integers(0, VOCABULARY, 18).astype("int32")
    found = surprisals(model, ids, window, stride, batch_size=3)
    np.testing.assert_allclose(found, surprisal_by_loops(model, ids, window, stride), atol=1e-4)


def test_perplexity_is_that_of_keras_hub():
    tokenizer = TOKENIZERS["words"]()
    backbone = zoo.MixerTextBackbone(tokenizer.vocabulary_size(), hidden_dim=7, mixer="min_gru", causal=True)
    model = zoo.MixerCausalLM(backbone, zoo.MixerCausalLMPreprocessor(tokenizer, sequence_length=23))
    inputs, labels, weights = model.preprocessor([TEXT])
    metric = keras_hub.metrics.Perplexity(from_logits=True)
    metric.update_state(labels, model(inputs), sample_weight=weights)
    found = zoo.perplexity(model, [TEXT])
    assert (found.tokens, found.characters, found.least_context) == (11, len(TEXT), 23 - 11 + 1)
    np.testing.assert_allclose(found.perplexity, float(metric.result()), rtol=1e-5)
    np.testing.assert_allclose(found.nats_per_character * len(TEXT), 11 * np.log(found.perplexity), rtol=1e-6)
    # A text by itself has no end to be foretold.
    assert zoo.perplexity(model, TEXT).tokens == 10


def test_a_stream_that_cannot_be_read_is_refused():
    model = language_model("gmlp")
    for ids, window, stride, message in (
        (np.arange(9), T, T + 1, "`stride` must be at most `window`"),
        (np.arange(9), 5, 2, f"reads {T} tokens at once"),
        (np.arange(1), T, 2, "at least 2 tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            surprisals(model, ids, window, stride)
    with pytest.raises(ValueError, match="with a preprocessor"):
        zoo.perplexity(model, TEXT)


def test_a_preset_says_what_the_model_said(raw_model, tmp_path):
    zoo.save(raw_model, tmp_path / "preset")
    loaded = zoo.load(tmp_path / "preset")
    assert type(loaded) is zoo.MixerCausalLM and type(loaded.preprocessor) is zoo.MixerCausalLMPreprocessor
    assert loaded.preprocessor.tokenizer.get_vocabulary() == raw_model.preprocessor.tokenizer.get_vocabulary()
    loaded.compile(sampler="greedy", run_eagerly=True)
    assert loaded.generate(["to be", "or"], max_length=17) == raw_model.generate(["to be", "or"], max_length=17)


def test_a_language_model_becomes_a_classifier(raw_model, tmp_path):
    zoo.save(raw_model, tmp_path / "preset")
    classifier = keras_hub.models.TextClassifier.from_preset(str(tmp_path / "preset"), num_classes=3)
    assert type(classifier) is zoo.MixerTextClassifier
    assert classifier.predict(["to be", "or not"], verbose=0).shape == (2, 3)
    np.testing.assert_array_equal(
        numbers(classifier.backbone.token_embedding.embeddings), numbers(raw_model.backbone.token_embedding.embeddings)
    )


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_the_same_after_its_config_and_in_a_file(tied, tmp_path):
    model = language_model(SMALL[-1], tied=tied, dropout=0.25)
    assert zoo.MixerCausalLM.from_config(model.get_config()).get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numbers(again(token_batch())), numbers(model(token_batch())), atol=1e-5)


LOAD = """
import keras_hub, zoo
model = keras_hub.models.CausalLM.from_preset({folder!r})
assert type(model) is zoo.MixerCausalLM, type(model)
assert type(model.preprocessor) is zoo.MixerCausalLMPreprocessor, type(model.preprocessor)
assert type(keras_hub.models.CausalLMPreprocessor.from_preset({folder!r})) is zoo.MixerCausalLMPreprocessor
assert type(keras_hub.models.Tokenizer.from_preset({folder!r})) is zoo.SymbolTokenizer
assert type(keras_hub.models.TextClassifier.from_preset({folder!r}, num_classes=2)) is zoo.MixerTextClassifier
model.compile(sampler="greedy")
print(repr(model.generate("to be", max_length=19)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_same_classes_come_back_in_new_processes_on_each_backend(backend, tmp_path):
    tokenizer = TOKENIZERS["characters"]()
    backbone = text_backbone(SMALL[-1], causal=True)
    backbone = type(backbone).from_config({**backbone.get_config(), "vocabulary_size": tokenizer.vocabulary_size()})
    model = zoo.MixerCausalLM(backbone, zoo.MixerCausalLMPreprocessor(tokenizer))
    model.compile(sampler="greedy")
    zoo.save(model, tmp_path / "preset")
    expected = repr(model.generate("to be", max_length=19))
    found = {fresh_process(LOAD.format(folder=str(tmp_path / "preset")), backend) for _ in range(3)}
    assert found == {expected}


@pytest.mark.parametrize("mixer", ["multi_head", pytest.param("min_gru", marks=pytest.mark.slow)])
def test_what_comes_next_is_explained(mixer, tmp_path):
    tokenizer = TOKENIZERS["words"]()
    backbone = zoo.MixerTextBackbone(tokenizer.vocabulary_size(), hidden_dim=8, mixer=mixer, causal=True)
    model = zoo.MixerCausalLM(backbone, zoo.MixerCausalLMPreprocessor(tokenizer))
    found = zoo.explain(model, "to be or not", out=tmp_path / "page.html", method="gradient_x_input")
    assert found.subject == ("[START]", "to", "be", "or", "not")
    best = int(numbers(model.next_token()(model.preprocessor.generate_preprocess(["to be or not"])))[0].argmax())
    assert f"Output {best} ({tokenizer.id_to_token(best)!r})" in found.answer
    assert found.parts["gradient x input"].shape == (5,)
    states = found.looks["sensitivity of each position"][0]
    assert np.abs(np.triu(states, 1)).max() < 1e-5 < np.abs(np.tril(states)).max()
    assert any(name.startswith("weights of") for name in found.looks) == (mixer == "multi_head")
