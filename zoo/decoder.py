"""Tokens so far and a memory in, a vector at each position out: all at once in training, step by step in use."""

import keras
from keras import ops

from keras_attn import masks, mixers
from keras_attn.lookup import plain
from zoo.backbone import MixerBlock, as_list, check_stack
from zoo.encoder import TokenEmbedding
from zoo.summary import Summary


@keras.saving.register_keras_serializable(package="zoo")
class DecoderBlock(keras.layers.Layer):
    """One layer of a decoder: a causal `MixerBlock` that reads a memory between its two branches.

    `x = x + mixer(short_convolution(norm(x)))`, `x = x + reader(norm(x), memory)`, `x = x + mlp(norm(x))`. Without a
    reader the second comes first, and adds the memory's summary to each position alike.

    Args:
        mixer: a name or a spec from `keras_attn.mixers`, of a mixer that can be causal and can step.
        reader: a name or a spec of an explicit mixer that can read another sequence; None for a `Summary`.
        mlp_ratio, short_convolution, dropout: see `MixerBlock`.

    Call arguments:
        inputs: `(B, T, D)`.
        memory: `(B, S, D)`, what is read: as wide, for not every mechanism projects what it reads.
        padding_mask: `(B, T)`, nonzero for real positions, or None.
        memory_mask: `(B, S)`, nonzero for real positions, or None.

    Returns:
        `(B, T, D)`.

    Step by step, once built: `prepared = prepare_memory(memory, memory_mask)` and
    `state = initial_state(prepared, batch_size, max_length)`, then `output, state = step(x, prepared, state)`.

    Example:
    >>> block = DecoderBlock("gru", "additive")
    >>> tuple(block(keras.random.normal((2, 7, 5)), keras.random.normal((2, 3, 5))).shape)
    (2, 7, 5)
    """

    def __init__(
        self, mixer="multi_head", reader="multi_head", mlp_ratio=2.0, short_convolution=3, dropout=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.spec = mixer
        self.reader_spec = reader
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.dropout = dropout

        policy = {"dtype": self.dtype_policy}
        self.block = MixerBlock(
            mixer, mlp_ratio, short_convolution, causal=True, dropout=dropout, name="block", **policy
        )
        self.reader = Summary(**policy) if reader is None else mixers.get(reader, name="reader", **policy)
        self.reader_norm = None if reader is None else keras.layers.LayerNormalization(epsilon=1e-5, **policy)
        self.reader_dropout = keras.layers.Dropout(dropout, **policy)

    def build(self, inputs_shape, memory_shape):
        self.block.build(inputs_shape)
        self.reader.build(inputs_shape, memory_shape)
        if self.reader_norm is not None:
            self.reader_norm.build(inputs_shape)
        self.built = True

    def call(self, inputs, memory, padding_mask=None, memory_mask=None, training=None):
        padding_mask, memory_mask = _as_mask(padding_mask), _as_mask(memory_mask)
        if self.reader_norm is None:
            told = self.reader(inputs, memory, value_mask=memory_mask)
            x = inputs + self.reader_dropout(told, training=training)
            return self.block.think(self.block.mix(x, padding_mask, training), training)
        x = self.block.mix(inputs, padding_mask, training)
        read = self.reader(
            self.reader_norm(x), memory, query_mask=padding_mask, value_mask=memory_mask, training=training
        )
        return self.block.think(x + self.reader_dropout(read, training=training), training)

    def prepare_memory(self, memory, memory_mask=None):
        """What the reader needs to know of the memory, computed once: tensors with the batch first."""
        return self.reader.prepare_memory(ops.cast(memory, self.compute_dtype), _as_mask(memory_mask))

    def initial_state(self, prepared, batch_size, max_length):
        """The state before the first position: a dictionary of the mixer block's and the reader's."""
        return {
            "block": self.block.initial_state(batch_size, max_length),
            "reader": self.reader.memory_state(prepared),
        }

    def step(self, inputs, prepared, state):
        """Output `(B, D)` and next state for inputs `(B, D)` at the next position."""
        if self.reader_norm is None:
            told, _, reader = self.reader.attend_step(inputs, prepared, state["reader"])
            x, block = self.block.mix_step(inputs + told, state["block"])
        else:
            x, block = self.block.mix_step(inputs, state["block"])
            read, _, reader = self.reader.attend_step(self.reader_norm(x), prepared, state["reader"])
            x = x + ops.cast(read, x.dtype)
        return self.block.think(x), {"block": block, "reader": reader}

    def compute_output_shape(self, inputs_shape, memory_shape):
        return tuple(inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "mixer": plain(self.spec),
            "reader": plain(self.reader_spec),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "dropout": self.dropout,
        }


def _as_mask(mask):
    return None if mask is None else ops.cast(mask, "bool")


@keras.saving.register_keras_serializable(package="zoo")
class TokenDecoder(keras.layers.Layer):
    """A stack of decoder blocks over token ids, in one layer. What is read may be any sequence of vectors.

    Args:
        vocabulary_size, hidden_dim, positions: see `TokenEmbedding`.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them, taken in turn by the layers; each can be
            causal and can step.
        reader: a name or a spec of an explicit mixer that can read another sequence, None for a summary, or a list of
            these, taken in turn by the layers.
        mlp_ratio, short_convolution, dropout: see `MixerBlock`.

    Call arguments:
        token_ids: int `(B, T)`.
        memory: `(B, S, D)`.
        padding_mask: `(B, T)`, nonzero for real positions, or None.
        memory_mask: `(B, S)`, nonzero for real positions, or None.

    Returns:
        `(B, T, D)`; no position depends on a later token.

    Step by step, once built: `state = decoder.initial_state(memory, memory_mask, max_length)`, then
    `output, state = decoder.step(token_ids, state)`. What is known of the memory is computed once.

    Example:
    >>> decoder = TokenDecoder(vocabulary_size=11, hidden_dim=8, num_layers=2, mixer="gru", reader="additive")
    >>> ids, memory = keras.ops.ones((2, 3), dtype="int32"), keras.random.normal((2, 7, 8))
    >>> tuple(decoder(ids, memory).shape)
    (2, 3, 8)
    >>> output, state = decoder.step(ids[:, 0], decoder.initial_state(memory, max_length=3))
    >>> tuple(output.shape)
    (2, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        num_layers,
        mixer,
        reader,
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.mixer = mixer
        self.reader = reader
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.dropout = dropout
        self.embedding = TokenEmbedding(
            vocabulary_size, hidden_dim, positions, dtype=self.dtype_policy, name="embedding"
        )
        specs, readers = as_list(mixer), as_list(reader)
        self.blocks = [
            DecoderBlock(
                specs[index % len(specs)],
                readers[index % len(readers)],
                mlp_ratio=mlp_ratio,
                short_convolution=short_convolution,
                dropout=dropout,
                dtype=self.dtype_policy,
                name=f"decoder_block_{index}",
            )
            for index in range(num_layers)
        ]
        self.final_norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy, name="final_norm")

    def build(self, token_ids_shape, memory_shape):
        self.embedding.build(token_ids_shape)
        shape = self.compute_output_shape(token_ids_shape, memory_shape)
        for block in self.blocks:
            block.build(shape, memory_shape)
        self.final_norm.build(shape)
        self.built = True

    def call(self, token_ids, memory, padding_mask=None, memory_mask=None, training=None):
        # What stands at padded positions is zeroed once, for all that is read of it.
        memory = masks.zero(memory, memory_mask)
        x = self.embedding(token_ids)
        for block in self.blocks:
            x = block(x, memory, padding_mask=padding_mask, memory_mask=memory_mask, training=training)
        return self.final_norm(x)

    def initial_state(self, memory, memory_mask=None, max_length=None):
        """The state before the first token: a dictionary of tensors with the batch first, and scalars that count.

        Args:
            memory: `(B, S, D)`.
            memory_mask: `(B, S)`, nonzero for real positions, or None.
            max_length: how many tokens there will ever be.
        """
        memory, batch = masks.zero(memory, memory_mask), ops.shape(memory)[0]
        prepared = [block.prepare_memory(memory, memory_mask) for block in self.blocks]
        return {
            # What no step changes stands apart from what does.
            "memory": prepared,
            "position": ops.zeros((), dtype="int32"),
            "blocks": [block.initial_state(known, batch, max_length) for block, known in zip(self.blocks, prepared)],
        }

    def step(self, token_ids, state):
        """Output `(B, D)` and next state for token ids `(B,)` at the next position."""
        x = self.embedding(token_ids[:, None], start=state["position"])[:, 0]
        blocks = []
        for block, known, before in zip(self.blocks, state["memory"], state["blocks"]):
            x, after = block.step(x, known, before)
            blocks.append(after)
        return self.final_norm(x), {**state, "position": state["position"] + 1, "blocks": blocks}

    def compute_output_shape(self, token_ids_shape, memory_shape):
        return (*token_ids_shape, self.embedding.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.embedding.vocabulary_size,
            "hidden_dim": self.embedding.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "reader": plain(self.reader),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.embedding.positions,
            "dropout": self.dropout,
        }


def check_decoder(mixer, reader, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, memory_length=None):
    """Raises `ValueError` for what no decoder can be made of. `memory_length` is S where it is known."""
    check_stack(mixer, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, causal=True)
    for spec in as_list(mixer):
        if not mixers.get(spec).can_step:
            raise ValueError(f"A decoder goes step by step, and the mixer {plain(spec)!r} cannot.")
    readers = as_list(reader)
    if not 1 <= len(readers) <= num_layers:
        raise ValueError(
            "A list of readers is taken in turn by the layers, so it must have between 1 and `num_layers` entries. "
            f"Received: {len(readers)} readers for num_layers={num_layers}"
        )
    for spec in readers:
        if spec is not None:
            _check_reader(spec, memory_length)


def _check_reader(spec, memory_length):
    reader = mixers.get(spec)
    if not reader.can_read:
        able = [name for name in mixers.names("explicit") if mixers.get(name).can_read]
        raise ValueError(
            "A reader is an explicit mixer whose queries can look at another sequence, one after another: "
            f"{', '.join(able)}; or None for a summary. Received: {plain(spec)!r}"
        )
    if reader.fixed_length and memory_length is None:
        raise ValueError(
            f"The reader {plain(spec)!r} works for one length only: give `encoder_sequence_length`. Received: None"
        )
