"""Text in, labels out: tokenizer, preprocessor, backbone and classifier."""

import keras
import keras_hub
from keras import ops

from keras_attn.lookup import plain, whole_number
from zoo.backbone import MixerBackbone, check_stack, stack
from zoo.fitting import Shuffled
from zoo.heads import MaskedMean
from zoo.quantized import Quantizable
from zoo.tokens import listed_texts

#: Standard deviation of new embeddings. Small, so that rare words start out saying little.
EMBEDDING_SCALE = 0.05
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


@keras.saving.register_keras_serializable(package="zoo")
class MixerTextBackbone(MixerBackbone):
    """Token ids to a vector at each position: an embedding, positions, and the zoo's residual stack.

    Args:
        vocabulary_size: how many token ids there are, at least 1.
        hidden_dim: width D, at least 1.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them (a hybrid), taken in turn by the layers.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        short_convolution: how many positions the convolution before each mixer sees; 0 for none.
        positions: "sinusoid", or None to leave order to the mixers.
        sequence_length: T, for mixers that work for one length only; None for any length.
        causal: whether a position sees no later one.
        dropout: share of each branch dropped in training, in [0, 1).
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: a dict of `"token_ids"`, int `(B, T)` in [0, vocabulary_size), and `"padding_mask"`, int or boolean
            `(B, T)`, nonzero for real positions. What stands at padded positions never changes an answer.

    Returns:
        `(B, T, D)`.

    Example:
    >>> backbone = MixerTextBackbone(vocabulary_size=11, hidden_dim=8, mixer=["gru", "multi_head"])
    >>> ids = keras.ops.ones((2, 7), dtype="int32")
    >>> tuple(backbone({"token_ids": ids, "padding_mask": ids}).shape)
    (2, 7, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim=64,
        num_layers=2,
        mixer="multi_head",
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        sequence_length=None,
        causal=False,
        dropout=0.0,
        dtype=None,
        **kwargs,
    ):
        mixer = plain(mixer)
        check_stack(mixer, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, causal, sequence_length)

        # === Layers ===
        self.token_embedding = keras.layers.Embedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=EMBEDDING_SCALE),
            dtype=dtype,
            name="token_embedding",
        )

        # === Functional Model ===
        token_ids = keras.Input(shape=(sequence_length,), dtype="int32", name="token_ids")
        padding_mask = keras.Input(shape=(sequence_length,), dtype="int32", name="padding_mask")
        outputs = stack(
            self.token_embedding(token_ids),
            padding_mask,
            mixer=mixer,
            num_layers=num_layers,
            mlp_ratio=mlp_ratio,
            short_convolution=short_convolution,
            positions=positions,
            position_scale=EMBEDDING_SCALE,
            causal=causal,
            dropout=dropout,
            dtype=dtype,
        )
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.sequence_length = sequence_length
        self.causal = causal
        self.dropout = dropout

    @property
    def _blocks(self):
        return [self.get_layer(f"mixer_block_{index}") for index in range(self.num_layers)]

    @property
    def can_step(self):
        """Whether it goes on from a state: it is causal, and all its mixers can. It has a mixer's methods for that."""
        return all(block.can_step for block in self._blocks)

    def initial_state(self, batch_size, max_length=None):
        """The state before the first token, of as many as there will ever be: see `keras_attn.decoding`."""
        blocks = [block.initial_state(batch_size, max_length) for block in self._blocks]
        return {"blocks": blocks, "position": ops.zeros((), dtype="int32")}

    def step(self, token_ids, state):
        """The vector `(B, D)` of the token ids `(B,)` at the next position, and the next state."""
        vectors, state = self._read_on("step", self._placed(token_ids[:, None], state)[:, 0], state)
        return vectors, {**state, "position": state["position"] + 1}

    def prefill(self, token_ids, state):
        """The vectors `(B, n, D)` of the token ids `(B, n)` at the next n positions, n known, and the next state."""
        vectors, state = self._read_on("prefill", self._placed(token_ids, state), state)
        return vectors, {**state, "position": state["position"] + token_ids.shape[1]}

    def _placed(self, token_ids, state):
        x = self.token_embedding(token_ids)  # (B, n, D)
        if self.positions != "sinusoid":
            return x
        place = self.get_layer("positions")(x, start_index=state["position"])
        return self.get_layer("add_positions")([x, self.get_layer("position_scale")(place)])

    def _read_on(self, how, x, state):
        blocks = []
        for block, before in zip(self._blocks, state["blocks"]):
            x, after = getattr(block, how)(x, before)
            blocks.append(after)
        return self.get_layer("final_norm")(x), {**state, "blocks": blocks}

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "sequence_length": self.sequence_length,
            "causal": self.causal,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="zoo")
class MixerTokenizer(keras_hub.tokenizers.WordPieceTokenizer):
    """Strings to ids of word pieces, lower-cased by default.

    Args:
        vocabulary: a list of word pieces, with `"[PAD]"`, `"[UNK]"`, `"[CLS]"` and `"[SEP]"` among them.
        lowercase: whether to lower-case first.

    Example:
    >>> tokenizer = MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun"])
    >>> [int(token) for token in tokenizer("Good fun")]
    [4, 5]
    """

    backbone_cls = MixerTextBackbone

    def __init__(self, vocabulary=None, lowercase=True, **kwargs):
        self._add_special_token("[PAD]", "pad_token")
        self._add_special_token("[CLS]", "start_token")
        self._add_special_token("[SEP]", "end_token")
        super().__init__(vocabulary=vocabulary, lowercase=lowercase, **kwargs)

    @classmethod
    def of(cls, texts, size=8000, lowercase=True, **kwargs):
        """A tokenizer whose word pieces are learned from these texts, those to train on; KerasHub learns them.

        Args:
            texts: a list of strings.
            size: about how many pieces, the special ones counted, at least 5.
            lowercase: whether texts are lower-cased first.
            **kwargs: what any tokenizer takes.
        """
        import tensorflow as tf  # Needed by KerasHub's learner of word pieces alone.

        listed_texts(texts)
        whole_number("size", size, least=len(SPECIAL_TOKENS) + 1)
        pieces = keras_hub.tokenizers.compute_word_piece_vocabulary(
            tf.data.Dataset.from_tensor_slices(list(texts)), size, lowercase=lowercase, reserved_tokens=SPECIAL_TOKENS
        )
        return cls(pieces, lowercase=lowercase, **kwargs)


@keras.saving.register_keras_serializable(package="zoo")
class MixerTextClassifierPreprocessor(keras_hub.models.TextClassifierPreprocessor):
    """Strings to `{"token_ids": (B, T), "padding_mask": (B, T)}`, between a start and an end token.

    Args:
        tokenizer: a `MixerTokenizer`.
        sequence_length: T; longer texts are cut, shorter ones padded.
        truncate: what to cut of several texts, "round_robin" or "waterfall".

    Call arguments:
        x: a string, a list of them, or a tuple of such lists that are joined.
        y, sample_weight: passed through.

    Example:
    >>> tokenizer = MixerTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "fun"])
    >>> inputs = MixerTextClassifierPreprocessor(tokenizer, sequence_length=5)(["Good fun"])
    >>> keras.ops.convert_to_numpy(inputs["token_ids"]).tolist()
    [[2, 4, 5, 3, 0]]
    """

    backbone_cls = MixerTextBackbone
    tokenizer_cls = MixerTokenizer

    def call(self, x, y=None, sample_weight=None):
        packed = super().call(x)
        x = {name: packed[name] for name in ("token_ids", "padding_mask")}
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


@keras.saving.register_keras_serializable(package="zoo")
class MixerTextClassifier(Shuffled, Quantizable, keras_hub.models.TextClassifier):
    """Raw text to the logits of classes: the backbone, the mean over real positions, a dense layer.

    Args:
        backbone: a `MixerTextBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a `MixerTextClassifierPreprocessor`; None if inputs come as ids.
        dropout: share of the mean dropped in training, in [0, 1).
        activation: what is applied to the logits; None for nothing.

    Call arguments:
        inputs: as for the backbone. `fit`, `evaluate` and `predict` take raw text if there is a preprocessor.

    Returns:
        `(B, num_classes)`.

    Example:
    >>> classifier = MixerTextClassifier(MixerTextBackbone(11, hidden_dim=8, mixer="gru"), num_classes=3)
    >>> ids = keras.ops.ones((2, 7), dtype="int32")
    >>> tuple(classifier({"token_ids": ids, "padding_mask": ids}).shape)
    (2, 3)
    """

    backbone_cls = MixerTextBackbone
    preprocessor_cls = MixerTextClassifierPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.0, activation=None, **kwargs):
        # Known before the default loss is chosen by it.
        self.activation = keras.activations.get(activation)

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.pooler = MaskedMean(name="pooler", **policy)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(num_classes, activation=activation, name="logits", **policy)

        # === Functional Model ===
        inputs = backbone.input
        x = self.pooler(backbone(inputs), padding_mask=inputs["padding_mask"])
        outputs = self.output_dense(self.output_dropout(x))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.dropout = dropout

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
        }
