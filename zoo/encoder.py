"""Token ids in, a vector at each position out: what a sequence is for the one who reads it."""

import keras
import keras_hub
from keras import ops

from keras_attn.lookup import plain
from zoo.backbone import MixerBlock, as_list
from zoo.text import EMBEDDING_SCALE


@keras.saving.register_keras_serializable(package="zoo")
class TokenEmbedding(keras.layers.Layer):
    """A vector for each token, and where it stands; and back, from vectors to the logits of tokens.

    The table serves both ways (Press and Wolf, 2017, https://arxiv.org/abs/1608.05859).

    Args:
        vocabulary_size: how many token ids there are, at least 1.
        hidden_dim: width D, at least 1.
        positions: "sinusoid", or None to leave order to others.

    Call arguments:
        token_ids: int `(B, T)`.
        start: which position the first token has.

    Returns:
        `(B, T, D)`. `embedding.tokens(x, reverse=True)` makes logits `(..., vocabulary_size)` of vectors.

    Example:
    >>> embedding = TokenEmbedding(vocabulary_size=11, hidden_dim=8)
    >>> tuple(embedding(keras.ops.ones((2, 7), dtype="int32")).shape)
    (2, 7, 8)
    """

    def __init__(self, vocabulary_size, hidden_dim, positions="sinusoid", **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.positions = positions
        self.tokens = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=EMBEDDING_SCALE),
            dtype=self.dtype_policy,
            name="tokens",
        )
        # In float32: bfloat16 cannot tell positions above 256 apart.
        self.places = keras_hub.layers.SinePositionEncoding(dtype="float32") if positions else None

    def build(self, input_shape):
        self.tokens.build(input_shape)
        self.built = True

    def call(self, token_ids, start=0):
        x = self.tokens(token_ids)
        if self.places is None:
            return x
        return x + ops.cast(EMBEDDING_SCALE * self.places(x, start_index=start), x.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "positions": self.positions,
        }


@keras.saving.register_keras_serializable(package="zoo")
class TokenEncoder(keras.layers.Layer):
    """The zoo's residual stack over token ids, in one layer: what it makes of a sequence may be read by a decoder.

    Args:
        vocabulary_size, hidden_dim, positions: see `TokenEmbedding`.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them, taken in turn by the layers.
        mlp_ratio, short_convolution, dropout: see `MixerBlock`.

    Call arguments:
        token_ids: int `(B, S)`.
        padding_mask: `(B, S)`, nonzero for real positions, or None.

    Returns:
        `(B, S, D)`.

    Example:
    >>> encoder = TokenEncoder(vocabulary_size=11, hidden_dim=8, num_layers=2, mixer=["gru", "multi_head"])
    >>> tuple(encoder(keras.ops.ones((2, 7), dtype="int32")).shape)
    (2, 7, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        num_layers,
        mixer,
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.dropout = dropout
        self.embedding = TokenEmbedding(
            vocabulary_size, hidden_dim, positions, dtype=self.dtype_policy, name="embedding"
        )
        specs = as_list(mixer)
        self.blocks = [
            MixerBlock(
                specs[index % len(specs)],
                mlp_ratio=mlp_ratio,
                short_convolution=short_convolution,
                dropout=dropout,
                dtype=self.dtype_policy,
                name=f"mixer_block_{index}",
            )
            for index in range(num_layers)
        ]
        self.final_norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy, name="final_norm")

    def build(self, input_shape):
        self.embedding.build(input_shape)
        shape = self.compute_output_shape(input_shape)
        for layer in (*self.blocks, self.final_norm):
            layer.build(shape)
        self.built = True

    def call(self, token_ids, padding_mask=None, training=None):
        x = self.embedding(token_ids)
        for block in self.blocks:
            x = block(x, padding_mask=padding_mask, training=training)
        return self.final_norm(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.embedding.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.embedding.vocabulary_size,
            "hidden_dim": self.embedding.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.embedding.positions,
            "dropout": self.dropout,
        }
