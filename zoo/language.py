"""The next token, and the next: causal language models of words, pieces or characters, and how they continue texts."""

import functools

import keras
import keras_hub
from keras import ops

from keras_attn.lookup import flag
from zoo.fitting import Shuffled
from zoo.generation import as_was, bound, by_row
from zoo.heads import TiedLogits, compile_arguments
from zoo.quantized import Quantizable
from zoo.story import LastWord
from zoo.text import MixerTextBackbone
from zoo.tokens import SymbolTokenizer

#: How many tokens of a prompt are read at once.
BLOCK = 32


@keras.saving.register_keras_serializable(package="zoo")
class MixerCausalLMPreprocessor(keras_hub.models.CausalLMPreprocessor):
    """Strings to `{"token_ids": (B, T), "padding_mask": (B, T)}`, the token after each, and which of those are real.

    Args:
        tokenizer: a `SymbolTokenizer` of words or characters, a `MixerTokenizer` of word pieces, or any of KerasHub's
            that has ids of padding, start and end.
        sequence_length: T; what is longer is cut, what is shorter padded.
        add_start_token, add_end_token: whether the start's and the end's token stand around a text.

    Call arguments:
        x: a string, or a list of strings.
        y, sample_weight: not used; the labels are the tokens of x, one place further.

    Example:
    >>> tokenizer = SymbolTokenizer(["[PAD]", "[UNK]", "[START]", "[END]", "to", "be"])
    >>> inputs, labels, weights = MixerCausalLMPreprocessor(tokenizer, sequence_length=4)(["to be"])
    >>> keras.ops.convert_to_numpy(inputs["token_ids"]).tolist(), keras.ops.convert_to_numpy(labels).tolist()
    ([[2, 4, 5, 3]], [[4, 5, 3, 0]])
    """

    backbone_cls = MixerTextBackbone
    tokenizer_cls = SymbolTokenizer


@keras.saving.register_keras_serializable(package="zoo")
class MixerCausalLM(Shuffled, Quantizable, keras_hub.models.CausalLM):
    """Tokens to the logits of the token after each, and prompts to texts: a causal backbone and a dense layer.

    `generate` takes and returns raw text, if there is a preprocessor. A backbone whose mixers can step keeps a state,
    and a token costs a step; with any other the whole text is read anew for each token. Both say the same.

    Args:
        backbone: a `MixerTextBackbone` with `causal=True`.
        preprocessor: a `MixerCausalLMPreprocessor`; None if inputs come as ids.
        tied: whether the table that embeds tokens makes the logits too, with a bias for each; or has the layer weights
            of its own.
        dropout: share of the backbone's vectors dropped in training, in [0, 1).

    Call arguments:
        inputs: as for the backbone. `fit` and `evaluate` take raw text if there is a preprocessor.

    Returns:
        `(B, T, vocabulary_size)`, in float32 whatever the backbone computes in.

    Example:
    >>> tokenizer = SymbolTokenizer.of(["to be or not to be"])
    >>> backbone = MixerTextBackbone(tokenizer.vocabulary_size(), hidden_dim=8, mixer="gru", causal=True)
    >>> model = MixerCausalLM(backbone, MixerCausalLMPreprocessor(tokenizer))
    >>> model.compile(sampler="greedy")
    >>> model.generate("to be", max_length=7).startswith("to be")
    True
    """

    backbone_cls = MixerTextBackbone
    preprocessor_cls = MixerCausalLMPreprocessor

    def __init__(self, backbone, preprocessor=None, tied=True, dropout=0.0, **kwargs):
        if not backbone.causal:
            raise ValueError(
                "A language model must not see the tokens it says: its backbone needs `causal=True`. "
                f"Received: a {type(backbone).__name__} with causal={backbone.causal}"
            )
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.output_dropout = keras.layers.Dropout(dropout, dtype=backbone.dtype_policy, name="output_dropout")
        # In float32: what a softmax over many tokens makes of halves is coarse.
        if flag("tied", tied):
            self.output_dense = TiedLogits(backbone.token_embedding, dtype="float32", name="logits")
        else:
            self.output_dense = keras.layers.Dense(backbone.vocabulary_size, dtype="float32", name="logits")

        # === Functional Model ===
        inputs = backbone.input
        outputs = self.output_dense(self.output_dropout(backbone(inputs)))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.tied = tied
        self.dropout = dropout

    def compile(self, optimizer="auto", loss="auto", *, weighted_metrics="auto", sampler="top_k", **kwargs):
        chosen = compile_arguments(optimizer, loss, weighted_metrics)
        chosen["weighted_metrics"] = chosen.pop("metrics")
        super().compile(**chosen, sampler=sampler, **kwargs)

    def next_token(self):
        """The model of the same inputs to the logits `(B, vocabulary_size)` of what follows the last real token.

        It shares its weights with this one: save this one. (With `tied=True` Keras does not load such a model again.)
        """
        inputs = self.backbone.input
        last = LastWord(name="last_token")(self.backbone(inputs), inputs["padding_mask"])
        return keras.Model(inputs, self.output_dense(last), name=self.name)

    @property
    def can_step(self):
        """Whether all mixers of the backbone go on from a state."""
        return self.backbone.can_step

    def initial_state(self, batch_size, max_length):
        """The state before the first token, of `max_length` that there will ever be."""
        return self.backbone.initial_state(batch_size, max_length)

    def step(self, token_ids, state):
        """The logits `(B, vocabulary_size)` after token ids `(B,)` at the next position, and the next state."""
        vectors, state = self.backbone.step(token_ids, state)
        return self.output_dense(vectors), state

    def generate_step(self, inputs, stop_token_ids=None):
        """What `generate` compiles: ids `(B, L)`, of which the first are given, to ids of which all are.

        Args:
            inputs: `{"token_ids": (B, L), "padding_mask": (B, L)}`, a prompt first in each row.
            stop_token_ids: ids after which a row is done; None to go on to the end.

        Returns:
            A dictionary as the inputs. The mask is False behind the first stop token that is new.
        """
        token_ids, given = inputs["token_ids"], ops.cast(inputs["padding_mask"], "bool")
        fixed = self.backbone.sequence_length
        if fixed is not None and token_ids.shape[1] > fixed:
            raise ValueError(
                f"The backbone was made for {fixed} tokens, prompt and answer together: give `max_length` of at most "
                f"as many. Received: {token_ids.shape[1]}"
            )
        # What the shortest prompt has is the same for all rows: none of them has padding there. A row without any
        # begins with the token it has.
        first = ops.maximum(ops.min(ops.sum(ops.cast(given, "int32"), axis=1)), 1)
        cache, ask = self._from_state(token_ids, first) if self.can_step else ((), self._from_start)
        ask, cache = bound(ask, cache, given, stop_token_ids)
        token_ids = self.sampler(
            next=ask,
            prompt=token_ids,
            cache=cache,
            index=first,
            mask=given,
            stop_token_ids=stop_token_ids,
            model=self,
        )
        return {"token_ids": token_ids, "padding_mask": _until(token_ids, stop_token_ids, given)}

    def _from_start(self, prompt, cache, index):
        """Logits of the token at `index` from all tokens before it, vectors that nobody asks for, and the cache."""
        length = self.backbone.sequence_length or prompt.shape[1]
        prompt = ops.pad(prompt, ((0, 0), (0, length - prompt.shape[1])))
        mask = ops.cast(ops.arange(length, dtype="int32") < index, "int32")
        vectors = self.backbone({"token_ids": prompt, "padding_mask": ops.zeros_like(prompt) + mask})
        return self.output_dense(ops.take(vectors, index - 1, axis=1)), (), cache

    def _from_state(self, token_ids, first):
        """The cache that holds all tokens before `first` but the last, and the function that goes on with it."""
        batch, length = token_ids.shape

        def read(count, index, state):
            """Reads `count` tokens more, of which `index` says how many there were."""
            ids = ops.slice(token_ids, (0, index), (batch, count))
            return index + count, self.backbone.prefill(ids, state)[1]

        def ask(prompt, cache, index):
            logits, state = self.step(ops.take(prompt, index - 1, axis=1), as_was(cache))
            return logits, (), by_row(state, ops.shape(prompt)[0])

        index, state = ops.zeros((), dtype="int32"), self.initial_state(batch, length)
        for count in (BLOCK, 1) if length > BLOCK else (1,):
            index, state = ops.while_loop(
                lambda index, state, count=count: index + count < first,
                functools.partial(read, count),
                (index, state),
            )
        return by_row(state, batch), ask

    def get_config(self):
        return {**super().get_config(), "tied": self.tied, "dropout": self.dropout}


def _until(token_ids, stop_token_ids, given):
    """True up to the first of the stop tokens that was not given, itself included: `(B, L)`."""
    if stop_token_ids is None:
        return ops.ones_like(token_ids, dtype="bool")
    stops = ops.zeros_like(given)
    for stop in stop_token_ids:
        stops = ops.logical_or(stops, ops.equal(token_ids, stop))
    stops = ops.cast(ops.logical_and(stops, ops.logical_not(given)), "int32")
    return ops.equal(ops.cast(ops.cumsum(stops, axis=1), "int32") - stops, 0)
