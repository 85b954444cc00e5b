"""How well a language model foretells a long text, which it reads in windows that overlap."""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from keras_attn.lookup import whole_number


@dataclasses.dataclass(frozen=True)
class Foretold:
    """How well a text was foretold.

    Args:
        nats: `-log p` of all its tokens together.
        tokens: how many they are, those of the text's end counted.
        characters: how many characters it has.
        window: how many tokens the model read at once.
        stride: how many of them were counted, the last ones.
    """

    nats: float
    tokens: int
    characters: int
    window: int
    stride: int

    @property
    def perplexity(self):
        """`exp(nats / tokens)`: among how many tokens, all alike, a choice would be as uncertain."""
        return math.exp(self.nats_per_token)

    @property
    def nats_per_token(self):
        """`nats / tokens`."""
        return self.nats / self.tokens

    @property
    def nats_per_character(self):
        """`nats / characters`."""
        return self.nats / self.characters

    @property
    def least_context(self):
        """So many stood before each token at least, except the first ones, and `window` at most."""
        return self.window - self.stride + 1


def perplexity(model, texts, window=None, stride=None, batch_size=16):
    """How well a language model foretells a text.

    Args:
        model: a `MixerCausalLM` with a preprocessor.
        texts: a string, or a list of strings, each of which has an end that is foretold too; all are one stream.
        window: how many tokens are read at once, at least 1; None for the preprocessor's `sequence_length`.
        stride: how many of them, the last ones, are counted, from 1 to `window`: fewer have more context, and take
            longer. None for half of the window.
        batch_size: windows at once, at least 1.

    Returns:
        A `Foretold`.

    Example:
    >>> import zoo
    >>> tokenizer = zoo.SymbolTokenizer.of(["to be or not to be"])
    >>> backbone = zoo.MixerTextBackbone(tokenizer.vocabulary_size(), hidden_dim=8, mixer="gru", causal=True)
    >>> model = zoo.MixerCausalLM(backbone, zoo.MixerCausalLMPreprocessor(tokenizer))
    >>> found = perplexity(model, ["to be", "or not to be"], window=4, stride=1)
    >>> found.tokens, found.characters, found.least_context
    (8, 17, 4)
    """
    preprocessor = model.preprocessor
    if preprocessor is None:
        raise ValueError("Texts are foretold by a model with a preprocessor; for ids there is `surprisals`.")
    window = whole_number("window", window, optional=True) or preprocessor.sequence_length
    stride = whole_number("stride", stride, optional=True) or max(1, window // 2)
    nats = surprisals(model, stream(preprocessor.tokenizer, texts), window, stride, batch_size)
    characters = sum(len(text) for text in ([texts] if isinstance(texts, str) else texts))
    return Foretold(float(nats.sum()), len(nats), characters, window, stride)


def stream(tokenizer, texts):
    """The ids of texts as one stream `(N,)`: the start's, then each text's, which have an end's if they are a list."""
    if isinstance(texts, str):
        return np.array([tokenizer.start_token_id, *tokenizer(texts)], dtype="int32")
    rows = tokenizer(list(texts))
    ids = [tokenizer.start_token_id]
    for row in rows:
        ids.extend(row)
        ids.append(tokenizer.end_token_id)
    return np.array(ids, dtype="int32")


def surprisals(model, token_ids, window, stride, batch_size=16):
    """`-log p` of each token of a stream but the first, given those before it: `(N - 1,)`, in nats.

    Args:
        model: a `MixerCausalLM`, or a functional model of the same inputs and outputs.
        token_ids: whole numbers `(N,)`, at least 2.
        window, stride, batch_size: see `perplexity`.
    """
    whole_number("window", window)
    if whole_number("stride", stride) > window:
        raise ValueError(f"`stride` must be at most `window`. Received: stride={stride}, window={window}")
    token_ids = np.asarray(token_ids)
    fixed = model.input["token_ids"].shape[1]
    if fixed not in (None, window):
        raise ValueError(f"The backbone reads {fixed} tokens at once. Received: window={window}")
    if token_ids.ndim != 1 or len(token_ids) < 2:
        raise ValueError(f"A stream has at least 2 tokens, `(N,)`. Received: ids of shape {token_ids.shape}")
    count = len(token_ids) - 1
    # Window k reads up to ends[k]; what lies behind ends[k - 1] counts.
    ends = np.minimum(window + stride * np.arange(1 + max(0, math.ceil((count - window) / stride))), count)
    starts = np.maximum(ends - window, 0)
    places = starts[:, None] + np.arange(window)  # (windows, window)
    real, places = places < count, np.minimum(places, count - 1)
    inputs = {"token_ids": token_ids[places], "padding_mask": real, "labels": token_ids[places + 1]}
    inputs = {name: each.astype("int32") for name, each in inputs.items()}
    nats = _reader(model).predict(inputs, batch_size=batch_size, verbose=0)
    before = np.concatenate([[0], ends[:-1]])
    counted = [row[first:last] for row, first, last in zip(nats, before - starts, ends - starts)]
    return np.concatenate(counted).astype("float64")


def _reader(model):
    """The model of ids and of those that follow each to the surprisals `(B, T)`: logits of many tokens stay within."""
    labels = keras.Input(model.input["token_ids"].shape[1:], dtype="int32", name="labels")
    nats = ops.sparse_categorical_crossentropy(labels, model.output, from_logits=True)
    return keras.Model({**model.input, "labels": labels}, nats)
