"""Texts as a decoder says them: between a start and an end, each token told before the next one is asked for."""

import keras
import numpy as np


def pack(tokenizer, texts, length):
    """What is said of texts so far, what comes next, and whether it counts: ids, ids and ones, `(B, length)`, int32.

    Args:
        tokenizer: a `zoo.tokens.SymbolTokenizer`.
        texts: a list of strings.
        length: tokens and an end, of a text at most; what is longer is cut before its end.
    """
    ids = np.zeros((len(texts), length + 1), "int32")
    mask = np.zeros_like(ids)
    for row, real, tokens in zip(ids, mask, tokenizer(list(texts))):
        tokens = [tokenizer.start_token_id, *tokens[: length - 1], tokenizer.end_token_id]
        row[: len(tokens)] = tokens
        real[: len(tokens)] = 1
    # A token is real if there is one to come after it: the end is only ever to be said.
    return ids[:, :-1] * mask[:, 1:], ids[:, 1:], mask[:, 1:]


def begin(tokenizer, count, length):
    """What texts begin with, ids and ones where there are such, `(count, length)`, int32."""
    ids, mask = np.zeros((2, count, length), "int32")
    ids[:, 0], mask[:, 0] = tokenizer.start_token_id, 1
    return ids, mask


def texts_of(tokenizer, token_ids):
    """The texts of token ids `(B, T)`, each up to its end: a list of strings."""
    end, silent = tokenizer.end_token_id, tokenizer.special_token_ids
    before = np.cumsum(token_ids == end, axis=1) == 0
    return [tokenizer.detokenize(row[real & ~np.isin(row, silent)].tolist()) for row, real in zip(token_ids, before)]


def weighted(mask, sample_weight):
    """What each token counts for, `(B, T)`: its example's weight `(B,)` where the mask is set; also within tf.data."""
    if sample_weight is None:
        return mask
    if isinstance(mask, np.ndarray):
        return mask * np.reshape(keras.ops.convert_to_numpy(sample_weight), (-1, 1)).astype("float32")
    import tensorflow as tf

    return tf.cast(mask, "float32") * tf.cast(sample_weight, "float32")[..., None]
