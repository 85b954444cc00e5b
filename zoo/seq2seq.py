"""Text in, another text out: backbone, preprocessor and language model of encoder and decoder."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn.lookup import plain
from zoo.backbone import MixerBackbone, check_stack
from zoo.decoder import TokenDecoder, check_decoder
from zoo.encoder import TokenEncoder
from zoo.fitting import Shuffled
from zoo.generation import generate
from zoo.quantized import Quantizable
from zoo.saying import weighted
from zoo.text import MixerTokenizer

TOKENIZER, SOURCE_TOKENIZER = "tokenizer.json", "source_tokenizer.json"


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeq2SeqBackbone(MixerBackbone):
    """Two sequences of token ids to a vector at each position: an encoder, and a causal decoder that reads it.

    Encoder and decoder are each the zoo's residual stack, with any mixers. In between stands the reader: without one
    the decoder is told a summary of the source at each step, as in sequence to sequence without attention; with one
    each of its layers looks at the source.

    Args:
        encoder_vocabulary_size: how many token ids the source has, at least 1.
        decoder_vocabulary_size: how many the target has, at least 1.
        hidden_dim: width D, at least 1.
        num_layers: how many layers encoder and decoder have each, at least 1.
        encoder_mixer: a name or a spec from `keras_attn.mixers`, or a list of them, taken in turn by the layers.
        decoder_mixer: the same; each must be able to be causal and to go step by step.
        reader: a name or a spec of an explicit mixer that can read another sequence (`can_read`), such as "additive",
            "multi_head", "location_sensitive" or "monotonic"; None for a summary; or a list of these, taken in turn by
            the decoder's layers.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        short_convolution: how many positions the convolution before each mixer sees; 0 for none.
        positions: "sinusoid", or None to leave order to the mixers.
        encoder_sequence_length: S, for mixers and readers that work for one length only; None for any length.
        dropout: share of each branch dropped in training, in [0, 1).
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: a dict of `"encoder_token_ids"`, int `(B, S)`, and `"encoder_padding_mask"`, `(B, S)`, nonzero for real
            positions; `"decoder_token_ids"` and `"decoder_padding_mask"`, the same `(B, T)`. What stands at padded
            positions never changes an answer.

    Returns:
        A dict of `"encoder_sequence_output"`, `(B, S, D)`, and `"decoder_sequence_output"`, `(B, T, D)`.

    Example:
    >>> backbone = MixerSeq2SeqBackbone(11, 13, hidden_dim=8, decoder_mixer="gru", reader="additive")
    >>> ids = keras.ops.ones((2, 7), dtype="int32")
    >>> inputs = {f"{part}_{what}": ids for part in ("encoder", "decoder") for what in ("token_ids", "padding_mask")}
    >>> tuple(backbone(inputs)["decoder_sequence_output"].shape)
    (2, 7, 8)
    """

    def __init__(
        self,
        encoder_vocabulary_size,
        decoder_vocabulary_size,
        hidden_dim=64,
        num_layers=2,
        encoder_mixer="multi_head",
        decoder_mixer="multi_head",
        reader="multi_head",
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        encoder_sequence_length=None,
        dropout=0.0,
        dtype=None,
        **kwargs,
    ):
        encoder_mixer, decoder_mixer, reader = map(plain, (encoder_mixer, decoder_mixer, reader))
        sizes = (num_layers, hidden_dim, mlp_ratio, short_convolution, positions)
        check_stack(encoder_mixer, *sizes, length=encoder_sequence_length)
        check_decoder(decoder_mixer, reader, *sizes, memory_length=encoder_sequence_length)

        # === Layers ===
        shared = {
            "hidden_dim": hidden_dim,
            "num_layers": num_layers,
            "mlp_ratio": mlp_ratio,
            "short_convolution": short_convolution,
            "positions": positions,
            "dropout": dropout,
            "dtype": dtype,
        }
        self.encoder = TokenEncoder(encoder_vocabulary_size, mixer=encoder_mixer, name="encoder", **shared)
        self.decoder = TokenDecoder(
            decoder_vocabulary_size, mixer=decoder_mixer, reader=reader, name="decoder", **shared
        )

        # === Functional Model ===
        inputs = {}
        for part, length in (("encoder", encoder_sequence_length), ("decoder", None)):
            for what in ("token_ids", "padding_mask"):
                name = f"{part}_{what}"
                inputs[name] = keras.Input(shape=(length,), dtype="int32", name=name)
        memory_mask = inputs["encoder_padding_mask"]
        memory = self.encoder(inputs["encoder_token_ids"], padding_mask=memory_mask)
        outputs = self.decoder(
            inputs["decoder_token_ids"],
            memory,
            padding_mask=inputs["decoder_padding_mask"],
            memory_mask=memory_mask,
        )
        outputs = {"encoder_sequence_output": memory, "decoder_sequence_output": outputs}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.encoder_vocabulary_size = encoder_vocabulary_size
        self.decoder_vocabulary_size = decoder_vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.encoder_mixer = encoder_mixer
        self.decoder_mixer = decoder_mixer
        self.reader = reader
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.encoder_sequence_length = encoder_sequence_length
        self.dropout = dropout

    @property
    def token_embedding(self):
        """The table of the target's tokens."""
        return self.decoder.embedding.tokens

    def get_config(self):
        return {
            **super().get_config(),
            "encoder_vocabulary_size": self.encoder_vocabulary_size,
            "decoder_vocabulary_size": self.decoder_vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "encoder_mixer": plain(self.encoder_mixer),
            "decoder_mixer": plain(self.decoder_mixer),
            "reader": plain(self.reader),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "encoder_sequence_length": self.encoder_sequence_length,
            "dropout": self.dropout,
        }


def _in_file(tokenizer, name):
    """The tokenizer as one that presets keep in that file: a copy, if its own is another, which others may count on."""
    if tokenizer.config_file == name:
        return tokenizer
    copy = type(tokenizer).from_config({**tokenizer.get_config(), "config_file": name})
    copy.set_vocabulary(tokenizer.vocabulary)
    return copy


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeq2SeqLMPreprocessor(keras_hub.models.Seq2SeqLMPreprocessor):
    """Pairs of texts to the backbone's inputs, with the target's next tokens to learn; and back to text.

    Every source and every target stands between a start and an end token.

    Args:
        tokenizer: of the target: a `MixerTokenizer` (word pieces) or a `SymbolTokenizer` (words or characters).
        source_tokenizer: of the source; None for the target's. In a preset it has a file of its own.
        encoder_sequence_length: S; longer sources are cut, shorter ones padded.
        decoder_sequence_length: T, of targets.

    Call arguments:
        x: a dict of `"encoder_text"` and `"decoder_text"`, a string or a list of them each. To `generate_preprocess`
            also the source texts alone.

    Example:
    >>> from zoo.tokens import SymbolTokenizer
    >>> letters, sounds = SymbolTokenizer.of(["cab"], split="characters"), SymbolTokenizer.of(["K AE B"])
    >>> preprocessor = MixerSeq2SeqLMPreprocessor(sounds, letters, encoder_sequence_length=5, decoder_sequence_length=4)
    >>> x, y, weight = preprocessor({"encoder_text": ["cab"], "decoder_text": ["K AE B"]})
    >>> [keras.ops.convert_to_numpy(each).tolist() for each in (x["encoder_token_ids"], x["decoder_token_ids"], y)]
    [[[2, 6, 4, 5, 3]], [[2, 6, 4, 5]], [[6, 4, 5, 3]]]
    """

    backbone_cls = MixerSeq2SeqBackbone
    tokenizer_cls = MixerTokenizer

    def __init__(
        self,
        tokenizer,
        source_tokenizer=None,
        encoder_sequence_length=64,
        decoder_sequence_length=64,
        **kwargs,
    ):
        if source_tokenizer is tokenizer:
            source_tokenizer = None
        # Two tokenizers of one preset must not overwrite each other.
        tokenizer = _in_file(tokenizer, TOKENIZER)
        super().__init__(tokenizer, encoder_sequence_length, decoder_sequence_length, **kwargs)
        self.source_tokenizer = None if source_tokenizer is None else _in_file(source_tokenizer, SOURCE_TOKENIZER)

    def call(
        self,
        x,
        y=None,
        sample_weight=None,
        *,
        encoder_sequence_length=None,
        decoder_sequence_length=None,
        sequence_length=None,
    ):
        length = decoder_sequence_length or sequence_length or self.decoder_sequence_length
        # One more: what is to be learnt are the decoder's tokens and the one that follows.
        token_ids, mask = self.pack_targets(x["decoder_text"], length + 1)
        inputs = self._with_sources(x["encoder_text"], encoder_sequence_length, token_ids[..., :-1], mask[..., :-1])
        weight = weighted(mask[..., 1:], sample_weight)
        return keras.utils.pack_x_y_sample_weight(inputs, token_ids[..., 1:], weight)

    def pack_targets(self, texts, length, add_end_value=True):
        """Token ids and a boolean mask, `(N, length)` both, of target texts between start and end."""
        return _pack(self.tokenizer, texts, length, add_end_value)

    def generate_preprocess(
        self, x, *, encoder_sequence_length=None, decoder_sequence_length=None, sequence_length=None
    ):
        """Sources, or a dict of sources and beginnings of targets, to the backbone's inputs, targets without an end."""
        x = x if isinstance(x, dict) else {"encoder_text": x, "decoder_text": self._empty_decoder_text(x)}
        length = decoder_sequence_length or sequence_length or self.decoder_sequence_length
        targets = self.pack_targets(x["decoder_text"], length, add_end_value=False)
        return self._with_sources(x["encoder_text"], encoder_sequence_length, *targets)

    def generate_postprocess(self, x):
        """The texts of what `generate_preprocess` made and a model went on with."""
        token_ids, mask = (ops.convert_to_numpy(x[f"decoder_{what}"]) for what in ("token_ids", "padding_mask"))
        marks = list(self.tokenizer.special_token_ids)
        # A backbone may have room for more tokens than there are.
        shown = mask.astype(bool) & ~np.isin(token_ids, marks) & (token_ids < self.tokenizer.vocabulary_size())
        return self.tokenizer.detokenize([row[there].tolist() for row, there in zip(token_ids, shown)])

    def _with_sources(self, texts, length, token_ids, mask):
        """The backbone's inputs: sources, and the target's tokens as they are."""
        source, source_mask = _pack(
            self.source_tokenizer or self.tokenizer, texts, length or self.encoder_sequence_length
        )
        return {
            "encoder_token_ids": source,
            "encoder_padding_mask": source_mask,
            "decoder_token_ids": token_ids,
            "decoder_padding_mask": mask,
        }

    def get_config(self):
        return {
            **super().get_config(),
            "source_tokenizer": None
            if self.source_tokenizer is None
            else keras.saving.serialize_keras_object(self.source_tokenizer),
            "encoder_sequence_length": self.encoder_sequence_length,
            "decoder_sequence_length": self.decoder_sequence_length,
        }

    @classmethod
    def from_config(cls, config):
        source = config.get("source_tokenizer")
        if isinstance(source, dict):
            config = {**config, "source_tokenizer": keras.saving.deserialize_keras_object(source)}
        return super().from_config(config)


def _pack(tokenizer, texts, length, add_end_value=True):
    """Token ids and a boolean mask of texts between start and end, cut or padded to a length."""
    found = tokenizer(texts)
    if not isinstance(found, (list, np.ndarray)):
        return _packer(tokenizer, length)(found, add_end_value=add_end_value)
    alone = not len(found) or not hasattr(found[0], "__len__")
    # By hand: KerasHub's packer needs a minute for 100,000 rows, where it does not work on tensors.
    rows, room = [found] if alone else found, length - 1 - int(add_end_value)
    ids, mask = np.full((len(rows), length), tokenizer.pad_token_id, "int32"), np.zeros((len(rows), length), bool)
    for index, row in enumerate(rows):
        packed = [tokenizer.start_token_id, *row[:room], *([tokenizer.end_token_id] if add_end_value else [])]
        ids[index, : len(packed)], mask[index, : len(packed)] = packed, True
    return (ids[0], mask[0]) if alone else (ids, mask)


def _packer(tokenizer, length):
    return keras_hub.layers.StartEndPacker(
        length, tokenizer.start_token_id, tokenizer.end_token_id, tokenizer.pad_token_id, return_padding_mask=True
    )


@keras.saving.register_keras_serializable(package="zoo")
class MixerSeq2SeqLM(Shuffled, Quantizable, keras_hub.models.Seq2SeqLM):
    """Text in, another text out, token by token: translation, summaries, letters to phonemes.

    `fit` takes pairs of texts, `generate` takes texts and gives texts. It goes step by step: each token costs one step
    of the decoder, and what is known of the source is computed once.

    Args:
        backbone: a `MixerSeq2SeqBackbone`.
        preprocessor: a `MixerSeq2SeqLMPreprocessor`; None if inputs come as ids.

    Call arguments:
        inputs: as for the backbone.

    Returns:
        Logits of the next tokens, `(B, T, decoder_vocabulary_size)`.

    Example:
    >>> from zoo.tokens import SymbolTokenizer
    >>> letters, sounds = SymbolTokenizer.of(["cab"], split="characters"), SymbolTokenizer.of(["K AE B"])
    >>> model = MixerSeq2SeqLM(
    ...     MixerSeq2SeqBackbone(letters.vocabulary_size(), sounds.vocabulary_size(), hidden_dim=8),
    ...     MixerSeq2SeqLMPreprocessor(sounds, letters, encoder_sequence_length=7, decoder_sequence_length=7),
    ... )
    >>> model.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3))
    >>> len(model.generate(["cab", "bac"]))
    2
    """

    backbone_cls = MixerSeq2SeqBackbone
    preprocessor_cls = MixerSeq2SeqLMPreprocessor

    def __init__(self, backbone, preprocessor=None, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor

        # === Functional Model ===
        inputs = backbone.input
        hidden = backbone(inputs)["decoder_sequence_output"]
        super().__init__(inputs=inputs, outputs=backbone.token_embedding(hidden, reverse=True), **kwargs)

    def compile(self, optimizer="auto", loss="auto", *, weighted_metrics="auto", sampler="greedy", **kwargs):
        optimizer = keras.optimizers.Adam(1e-3) if optimizer == "auto" else optimizer
        super().compile(optimizer, loss, weighted_metrics=weighted_metrics, sampler=sampler, **kwargs)

    def generate(self, inputs, max_length=None, stop_token_ids="auto", strip_prompt=False):
        """As KerasHub's. What is given is the source, which no answer begins with: there is no prompt to strip."""
        if strip_prompt:
            raise ValueError(
                "`strip_prompt` is for models that go on with what they are given; here answers hold no source, and "
                "begin with `decoder_text` where it is given. Received: strip_prompt=True"
            )
        return super().generate(inputs, max_length=max_length, stop_token_ids=stop_token_ids)

    def generate_step(self, inputs, stop_token_ids=None):
        """Targets for a batch of inputs, prompts included: a dict of `"decoder_token_ids"` and their padding mask."""
        token_ids, decoder = inputs["decoder_token_ids"], self.backbone.decoder
        mask = inputs["encoder_padding_mask"]
        memory = self.backbone.encoder(inputs["encoder_token_ids"], padding_mask=mask)

        def step(token_ids, state):
            hidden, state = decoder.step(token_ids, state)
            return self.backbone.token_embedding(hidden, reverse=True), state

        token_ids, mask = generate(
            step,
            decoder.initial_state(memory, mask, max_length=token_ids.shape[1]),
            token_ids,
            inputs["decoder_padding_mask"],
            self.sampler,
            stop_token_ids,
            model=self,
        )
        return {"decoder_token_ids": token_ids, "decoder_padding_mask": mask}
