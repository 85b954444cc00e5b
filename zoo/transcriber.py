"""Speech in, text out: a decoder that reads the encoded frames and says a text token by token."""

import keras
import keras_hub
from keras import ops

from keras_attn.lookup import plain, whole_number
from zoo.decoder import TokenDecoder, check_decoder
from zoo.fitting import PreparedAtOnce
from zoo.generation import generate
from zoo.quantized import Quantizable
from zoo.saying import begin, pack, texts_of, weighted
from zoo.speech import MixerSpeechBackbone, SpeechPreprocessor
from zoo.tokens import SymbolTokenizer


@keras.saving.register_keras_serializable(package="zoo")
class MixerAudioToTextPreprocessor(SpeechPreprocessor):
    """Recordings and texts to the transcriber's inputs, with the next tokens to learn; and answers back to texts.

    Args:
        tokenizer: a `zoo.tokens.SymbolTokenizer`.
        audio_converter, mean, deviation, center, sequence_length: see `zoo.speech.SpeechPreprocessor`.
        decoder_sequence_length: T, how many tokens and ends a text has at most; what is longer is cut.

    Call arguments:
        x: recordings. What is prepared already, a dict, passes.
        y: texts, a list of strings; None to begin with.
        sample_weight: with texts it is made here: 0 behind a text.

    Returns:
        `{"frames", "padding_mask", "decoder_token_ids": (B, T), "decoder_padding_mask": (B, T)}`; with texts also the
        next tokens, `(B, T)`, and their weights, `(B, T)`.

    Example:
    >>> import numpy as np
    >>> tokenizer = SymbolTokenizer.of(["ab"], split="characters")
    >>> preprocessor = MixerAudioToTextPreprocessor(tokenizer, decoder_sequence_length=3)
    >>> x, y, weight = preprocessor([np.zeros((7, 3)), np.zeros((5, 3))], ["ab", "a"])
    >>> x["decoder_token_ids"].tolist(), y.tolist(), weight.tolist()
    ([[2, 4, 5], [2, 4, 0]], [[4, 5, 3], [4, 3, 0]], [[1, 1, 1], [1, 1, 0]])
    """

    tokenizer_cls = SymbolTokenizer

    def __init__(self, tokenizer, audio_converter=None, decoder_sequence_length=64, **kwargs):
        super().__init__(audio_converter, **kwargs)
        self.tokenizer = tokenizer
        self.decoder_sequence_length = whole_number("decoder_sequence_length", decoder_sequence_length, least=2)

    def call(self, x, y=None, sample_weight=None):
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        x = super().call(x)
        if y is None:
            return {**x, **self._begin(len(x["frames"]), self.decoder_sequence_length)}
        ids, following, mask = pack(self.tokenizer, y, self.decoder_sequence_length)
        return {**x, "decoder_token_ids": ids, "decoder_padding_mask": mask}, following, weighted(mask, sample_weight)

    def generate_preprocess(self, x, sequence_length=None):
        """Recordings to what texts begin with."""
        # One more: the start is not said.
        length = (sequence_length or self.decoder_sequence_length) + 1
        x = super().call(x)
        return {**x, **self._begin(len(x["frames"]), length)}

    def _begin(self, count, length):
        return dict(zip(("decoder_token_ids", "decoder_padding_mask"), begin(self.tokenizer, count, length)))

    def generate_postprocess(self, x):
        """The texts of what was generated: a list of strings."""
        return texts_of(self.tokenizer, ops.convert_to_numpy(x["decoder_token_ids"]))

    def get_config(self):
        return {**super().get_config(), "decoder_sequence_length": self.decoder_sequence_length}


@keras.saving.register_keras_serializable(package="zoo")
class MixerAudioToText(PreparedAtOnce, Quantizable, keras_hub.models.Seq2SeqLM):
    """Speech to text, token by token: the backbone, and a decoder that reads its tokens ("listen, attend and spell").

    `fit` takes recordings and texts. `generate` takes recordings and gives texts, with the sampler of `compile`:
    "greedy" or `keras_hub.samplers.BeamSampler(num_beams=5)`.

    Args:
        backbone: a `MixerSpeechBackbone`.
        vocabulary_size: how many token ids there are, at least 4.
        reader: a name or a spec of an explicit mixer that can read another sequence, such as "additive",
            "location_sensitive" or "monotonic_chunkwise", which go on from where they last were; None for a summary;
            or a list of these, taken in turn by the decoder's layers.
        decoder_mixer: a name or a spec from `keras_attn.mixers`, or a list of them; each must be able to be causal and
            to go step by step.
        num_layers: how many layers the decoder has, at least 1.
        preprocessor: a `MixerAudioToTextPreprocessor`; None if inputs come as the model wants them.
        dropout: share of each branch of the decoder dropped in training, in [0, 1).

    Call arguments:
        inputs: a dict of `"frames"` and `"padding_mask"` as for the backbone, `"decoder_token_ids"`, int `(B, T)`, and
            `"decoder_padding_mask"`, `(B, T)`, nonzero for real tokens.

    Returns:
        Logits of the next tokens, `(B, T, vocabulary_size)`.

    Example:
    >>> import numpy as np
    >>> tokenizer = SymbolTokenizer.of(["ab"], split="characters")
    >>> transcriber = MixerAudioToText(
    ...     MixerSpeechBackbone(3, mixer="gru", hidden_dim=8),
    ...     tokenizer.vocabulary_size(),
    ...     preprocessor=MixerAudioToTextPreprocessor(tokenizer, decoder_sequence_length=5),
    ... )
    >>> len(transcriber.generate([np.zeros((7, 3)), np.zeros((5, 3))]))
    2

    Reference: Chan et al., 2016, https://arxiv.org/abs/1508.01211; Chorowski et al., 2015,
    https://arxiv.org/abs/1506.07503.
    """

    backbone_cls = MixerSpeechBackbone
    preprocessor_cls = MixerAudioToTextPreprocessor

    def __init__(
        self,
        backbone,
        vocabulary_size,
        reader="additive",
        decoder_mixer="gru",
        num_layers=1,
        preprocessor=None,
        dropout=0.0,
        **kwargs,
    ):
        whole_number("vocabulary_size", vocabulary_size, least=4)
        reader, decoder_mixer, width = plain(reader), plain(decoder_mixer), backbone.hidden_dim
        parts = {"mlp_ratio": backbone.mlp_ratio, "short_convolution": backbone.short_convolution}
        frames = backbone.sequence_length
        memory = None if frames is None else -(-frames // backbone.subsampling)
        check_decoder(decoder_mixer, reader, num_layers, width, **parts, positions="sinusoid", memory_length=memory)
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.decoder = TokenDecoder(
            vocabulary_size,
            width,
            num_layers,
            decoder_mixer,
            reader,
            dropout=dropout,
            name="decoder",
            **parts,
            **policy,
        )
        self.output_dense = keras.layers.Dense(vocabulary_size, name="logits", **policy)

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="decoder_token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="decoder_padding_mask")
        inputs = backbone.input
        hidden = self.decoder(
            token_ids,
            backbone(inputs),
            padding_mask=padding_mask,
            memory_mask=inputs["padding_mask"][:, :: backbone.subsampling],
        )
        inputs = {**inputs, "decoder_token_ids": token_ids, "decoder_padding_mask": padding_mask}
        super().__init__(inputs=inputs, outputs=self.output_dense(hidden), **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.reader = reader
        self.decoder_mixer = decoder_mixer
        self.num_layers = num_layers
        self.dropout = dropout

    def compile(self, optimizer="auto", loss="auto", *, weighted_metrics="auto", sampler="greedy", **kwargs):
        optimizer = keras.optimizers.Adam(1e-3) if optimizer == "auto" else optimizer
        super().compile(optimizer, loss, weighted_metrics=weighted_metrics, sampler=sampler, **kwargs)

    def generate_step(self, inputs, stop_token_ids=None):
        """Texts of a batch of recordings: a dict of `"decoder_token_ids"` and their padding mask."""
        memory = self.backbone({name: inputs[name] for name in ("frames", "padding_mask")})
        memory_mask = inputs["padding_mask"][:, :: self.backbone.subsampling]
        token_ids = inputs["decoder_token_ids"]

        def step(token_ids, state):
            hidden, state = self.decoder.step(token_ids, state)
            return self.output_dense(hidden), state

        token_ids, mask = generate(
            step,
            self.decoder.initial_state(memory, memory_mask, max_length=token_ids.shape[1]),
            token_ids,
            inputs["decoder_padding_mask"],
            self.sampler,
            stop_token_ids,
            model=self,
        )
        return {"decoder_token_ids": token_ids, "decoder_padding_mask": mask}

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "reader": plain(self.reader),
            "decoder_mixer": plain(self.decoder_mixer),
            "num_layers": self.num_layers,
            "dropout": self.dropout,
        }
