"""Images in, sentences out: a decoder around a recurrent cell that is told about an image, or looks at it."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn import AttentionDecoder
from keras_attn.lookup import choose, plain, whole_number
from zoo.fitting import PreparedAtOnce
from zoo.generation import generate
from zoo.image import MixerImageBackbone, MixerImageConverter
from zoo.quantized import Quantizable
from zoo.saying import begin, pack, texts_of, weighted
from zoo.tokens import SymbolTokenizer

#: Cells, and how many tensors their states have.
CELLS = {"gru": (keras.layers.GRUCell, 1), "lstm": (keras.layers.LSTMCell, 2)}


@keras.saving.register_keras_serializable(package="zoo")
class BlindDecoder(keras.layers.Layer):
    """A recurrent cell that looks at nothing. It is called as `keras_attn.AttentionDecoder` is.

    What it knows of the memory is in its first state.

    Args:
        cell: any Keras cell, such as `keras.layers.GRUCell(256)`.

    Call arguments:
        inputs: `(B, T, D)`.
        memory: `(B, S, Dm)`, which counts for nothing.
        inputs_mask: boolean `(B, T)`, False at padded steps.
        cell_state: the cell's first state, a list.
        training: whether dropout acts.

    Returns:
        `(B, T, units)`.

    Step by step, once built: `state = decoder.initial_state(memory, cell_state=state)`, then
    `output, state = decoder.step(x, state)`.

    Example:
    >>> decoder = BlindDecoder(keras.layers.GRUCell(5))
    >>> tuple(decoder(keras.random.normal((2, 3, 7)), None, cell_state=[keras.ops.zeros((2, 5))]).shape)
    (2, 3, 5)
    """

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.loop = keras.layers.RNN(cell, return_sequences=True, dtype=self.dtype_policy, name="loop")

    def build(self, inputs_shape, memory_shape=None, cell_state_shape=None):
        self.loop.build(inputs_shape)
        self.built = True

    def call(self, inputs, memory, inputs_mask=None, cell_state=None, training=None):
        return self.loop(inputs, initial_state=cell_state, mask=inputs_mask, training=training)

    def initial_state(self, memory, memory_mask=None, cell_state=None):
        return {"cell": list(cell_state)}

    def step(self, inputs, state):
        output, cell = self.cell(inputs, state["cell"])
        return output, {"cell": list(cell)}

    def compute_output_shape(self, inputs_shape, memory_shape=None, cell_state_shape=None):
        return (*inputs_shape[:-1], self.cell.units)

    def compute_output_spec(self, inputs, memory, **kwargs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "cell": keras.saving.serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "cell": keras.saving.deserialize_keras_object(config["cell"])})


@keras.saving.register_keras_serializable(package="zoo")
class MixerCaptionerPreprocessor(keras_hub.models.Preprocessor):
    """Images and captions to the captioner's inputs, with the next words to learn; and answers back to captions.

    Args:
        tokenizer: a `zoo.tokens.SymbolTokenizer`, most often of words.
        image_converter: a `MixerImageConverter`; None if images come as the backbone wants them.
        sequence_length: T, how many words and ends a caption has at most; what is longer is cut.

    Call arguments:
        x: images, `(B, H, W, C)`. What is prepared already, a dict, passes.
        y: captions, a list of strings; None to begin with.
        sample_weight: with captions it is made here: 0 behind a caption.

    Returns:
        `{"images", "token_ids": (B, T), "padding_mask": (B, T)}`; with captions also the next tokens, `(B, T)`, and
        their weights, `(B, T)`.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["red car", "car"])
    >>> preprocessor = MixerCaptionerPreprocessor(tokenizer, sequence_length=4)
    >>> x, y, weight = preprocessor(np.zeros((2, 6, 4, 3)), ["red car", "car"])
    >>> x["token_ids"].tolist(), y.tolist(), weight.tolist()
    ([[2, 5, 4, 0], [2, 4, 0, 0]], [[5, 4, 3, 0], [4, 3, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 0]])
    """

    backbone_cls = MixerImageBackbone
    tokenizer_cls = SymbolTokenizer
    image_converter_cls = MixerImageConverter

    def __init__(self, tokenizer, image_converter=None, sequence_length=32, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.image_converter = image_converter
        self.sequence_length = whole_number("sequence_length", sequence_length, least=2)
        self.built = True

    def call(self, x, y=None, sample_weight=None):
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        images = self.images(x)
        if y is None:
            return {"images": images, **self._begin(len(images), self.sequence_length)}
        if len(y) != len(images):
            raise ValueError(f"Each image has one caption. Received: {len(images)} images, {len(y)} captions")
        inputs, following, weight = self.captions(y)
        return {"images": images, **inputs}, following, weighted(weight, sample_weight)

    def captions(self, captions):
        """What is said of captions so far, `{"token_ids", "padding_mask"}`, what comes next, and its weight."""
        ids, following, mask = pack(self.tokenizer, captions, self.sequence_length)
        return {"token_ids": ids, "padding_mask": mask}, following, mask

    def texts(self, token_ids):
        """The captions of token ids `(B, T)`, each up to its end: a list of strings."""
        return texts_of(self.tokenizer, token_ids)

    def images(self, x):
        """Images as the backbone wants them, `(B, H, W, C)`, float32."""
        x = np.asarray(x)
        if x.ndim != 4:
            raise ValueError(f"Images come as (B, H, W, C). Received: an array of {x.shape}")
        x = x if self.image_converter is None else ops.convert_to_numpy(self.image_converter(x))
        return x.astype("float32")

    def generate_preprocess(self, x, sequence_length=None):
        """Images to what captions begin with."""
        # One more: the start is not said.
        return {"images": self.images(x), **self._begin(len(x), (sequence_length or self.sequence_length) + 1)}

    def _begin(self, count, length):
        return dict(zip(("token_ids", "padding_mask"), begin(self.tokenizer, count, length)))

    def generate_postprocess(self, x):
        """The captions of what was generated: a list of strings."""
        return self.texts(ops.convert_to_numpy(x["token_ids"]))

    def get_config(self):
        return {**super().get_config(), "sequence_length": self.sequence_length}


@keras.saving.register_keras_serializable(package="zoo")
class MixerCaptioner(PreparedAtOnce, Quantizable, keras_hub.models.CausalLM):
    """Images to captions, word by word: the image's backbone, a recurrent cell, and what it looks at.

    The cell's first state is made of the mean over regions. Without attention that is all it is told (show and tell).
    With attention it looks at the regions before each word (show, attend and tell): `h_t = cell([x_t; c_t], h_{t-1})`
    with the context c_t that h_{t-1} finds, and the word comes from `tanh(W [c_t; h_t])`.

    `fit` takes images and captions. `generate` takes images and gives captions, with the sampler of `compile`: "greedy"
    or `keras_hub.samplers.BeamSampler(num_beams=5)`. `keras_attn.inspection.weights(captioner, inputs)["decoder"]` has
    what is looked at for each word, `(B, T, heads, regions)`, regions row after row.

    Args:
        backbone: a `MixerImageBackbone`, whose tokens are the regions.
        vocabulary_size: how many token ids there are, at least 4.
        attention: None, or a name or a spec of an explicit mixer, such as "additive" (soft) or
            `{"mixer": "stochastic_hard", "units": 64}` (hard: in training one region is drawn, and the gradient is
            straight-through's).
        cell: "gru" or "lstm".
        hidden_dim: width of words and state, at least 1; None for the backbone's.
        preprocessor: a `MixerCaptionerPreprocessor`; None if inputs come as the model wants them.
        dropout: share of words and of the cell's outputs dropped in training, in [0, 1).

    Call arguments:
        inputs: a dict of `"images"` `(B, H, W, C)`, `"token_ids"` int `(B, T)`, and `"padding_mask"` `(B, T)`, nonzero
            for real tokens.

    Returns:
        Logits of the next tokens, `(B, T, vocabulary_size)`.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["red car", "blue house"])
    >>> captioner = MixerCaptioner(
    ...     MixerImageBackbone((6, 4, 3), hidden_dim=8, mixer="gru"),
    ...     tokenizer.vocabulary_size(),
    ...     preprocessor=MixerCaptionerPreprocessor(tokenizer, sequence_length=5),
    ... )
    >>> len(captioner.generate(np.zeros((2, 6, 4, 3))))
    2

    Reference: Vinyals et al., 2015, https://arxiv.org/abs/1411.4555; Xu et al., 2015,
    https://arxiv.org/abs/1502.03044, section 3.1.2 and 4.
    """

    backbone_cls = MixerImageBackbone
    preprocessor_cls = MixerCaptionerPreprocessor

    def __init__(
        self,
        backbone,
        vocabulary_size,
        attention="additive",
        cell="gru",
        hidden_dim=None,
        preprocessor=None,
        dropout=0.0,
        **kwargs,
    ):
        whole_number("vocabulary_size", vocabulary_size, least=4)
        whole_number("hidden_dim", hidden_dim, optional=True)
        width, attention = hidden_dim or backbone.hidden_dim, plain(attention)
        make, states = CELLS[choose("cell", cell, CELLS)]
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.token_embedding = keras.layers.Embedding(vocabulary_size, width, name="token_embedding", **policy)
        self.word_dropout = keras.layers.Dropout(dropout, name="word_dropout", **policy)
        self.pooler = keras.layers.GlobalAveragePooling1D(data_format="channels_last", name="pooler", **policy)
        self.first_state = keras.layers.Dense(states * width, activation="tanh", name="first_state", **policy)
        self.width = width
        if attention is None:
            self.decoder = BlindDecoder(make(width, **policy), name="decoder", **policy)
        else:
            self.decoder = AttentionDecoder(
                make(width, **policy), attention, order="bahdanau", units=width, name="decoder", **policy
            )
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(vocabulary_size, name="logits", **policy)

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="int32", name="padding_mask")
        regions = backbone(backbone.input)
        x = self.decoder(
            self.word_dropout(self.token_embedding(token_ids)),
            regions,
            inputs_mask=ops.cast(padding_mask, "bool"),
            cell_state=self._begin(regions),
        )
        outputs = self.output_dense(self.output_dropout(x))
        inputs = {"images": backbone.input, "token_ids": token_ids, "padding_mask": padding_mask}
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.attention = attention
        self.cell = cell
        self.hidden_dim = hidden_dim
        self.dropout = dropout

    def _begin(self, regions):
        """The cell's first state, one tensor `(B, hidden_dim)` for each part of it."""
        parts = self.first_state(self.pooler(regions))
        return [parts[:, first : first + self.width] for first in range(0, parts.shape[-1], self.width)]

    def compile(self, optimizer="auto", loss="auto", *, weighted_metrics="auto", sampler="greedy", **kwargs):
        optimizer = keras.optimizers.Adam(1e-3) if optimizer == "auto" else optimizer
        super().compile(optimizer, loss, weighted_metrics=weighted_metrics, sampler=sampler, **kwargs)

    def generate_step(self, inputs, stop_token_ids=None):
        """Captions of a batch of images: a dict of `"token_ids"` and their `"padding_mask"`."""
        regions = self.backbone(inputs["images"])

        def step(token_ids, state):
            x, state = self.decoder.step(self.token_embedding(token_ids), state)
            return self.output_dense(x), state

        token_ids, mask = generate(
            step,
            self.decoder.initial_state(regions, cell_state=self._begin(regions)),
            inputs["token_ids"],
            inputs["padding_mask"],
            self.sampler,
            stop_token_ids,
            model=self,
        )
        return {"token_ids": token_ids, "padding_mask": mask}

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "attention": plain(self.attention),
            "cell": self.cell,
            "hidden_dim": self.hidden_dim,
            "dropout": self.dropout,
        }


def caption_scores(captions, answers):
    """How well images are described: the share of captions that are right word for word, and BLEU.

    Args:
        captions: what is right, a list of strings.
        answers: what was said, as many.

    Returns:
        `{"exact_match", "bleu"}`, in [0, 1]; BLEU as KerasHub has it, over all captions, of up to four words in turn.

    Example:
    >>> caption_scores(["a red car on a road", "a dog"], ["a red car on a road", "a cat"])["exact_match"]
    0.5
    """
    if len(captions) != len(answers):
        raise ValueError(
            f"There must be an answer to each caption. Received: {len(captions)} captions, {len(answers)} answers"
        )
    right = float(np.mean([caption == answer for caption, answer in zip(captions, answers)]))
    return {"exact_match": right, "bleu": float(keras_hub.metrics.Bleu()([[each] for each in captions], answers))}
