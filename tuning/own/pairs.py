"""Texts that become other texts: translation, summaries, spellings to sounds."""

import math

import numpy as np

from tuning import texts as words
from tuning.own.examples import Examples, column, is_missing, rows
from tuning.sides import both_sides
from tuning.task import Split

#: Pieces of each side at most: what is known of the target costs memory for each of them at each step.
PIECES, LONGEST = 2000, {"encoder": 256, "decoder": 64}
#: A word that comes once is spelt.
LEAST = 2
#: The most numbers, logits of all pieces at all places, that a split to choose or to judge by may be answered with.
MOST = 50_000_000
MIXERS = ("multi_head", "multiplicative", "gru", "gated_conv", "linear_recurrence", ("gru", "multi_head"))
CONTROLS = ("identity",)
RATES, DROPOUTS = (1e-3, 3e-3, 1e-2), (0.1,)
MEASURE = "next_tokens"
SOURCE, TARGET = 0, 1


def check_names(given):
    """Raises for what are no names of two columns."""
    if not isinstance(given, (list, tuple)) or len(given) != 2 or not all(isinstance(each, str) for each in given):
        raise ValueError(f"`pairs` are the names of two columns, source and target. Received: {given!r}")
    if given[0] == given[1]:
        raise ValueError(f"`pairs` are two columns, source and target. Received one twice: {given[0]!r}")


def of_table(table, names, split_by, used, judged=False):
    """The `Examples` of a table: x is `(N, 2)`, source and target, since a model is told the true target so far.

    Args:
        table: a pandas frame.
        names: of source and target.
        split_by: arrays `(N,)` of group and time, or None, by option.
        used: the names of their columns, if they are columns.
        judged: whether this is only to judge by.

    Raises:
        ValueError: if there is no such column, or a text is empty, or all targets to learn are the same.
    """
    x = np.stack([_texts(column(table, name, "pairs"), name) for name in names], axis=1)
    targets = x[:, TARGET]
    if not judged and len(set(targets)) < 2:
        raise ValueError(f"{names[TARGET]!r} is always {targets[0][:60]!r}: there is nothing to learn.")
    notes = ("Each target is its source.",) if (x[:, SOURCE] == targets).all() else ()
    return Examples(
        "pairs", x, targets, **split_by, names={"source": names[SOURCE], "target": names[TARGET], **used}, notes=notes
    )


def measure(x, test=None):
    """How many pieces each side has at most, and how many of a text are read or learnt: nothing that is learnt."""
    sizes = {}
    for part, side in (("encoder", SOURCE), ("decoder", TARGET)):
        pieces = words.vocabulary(x[:, side], PIECES, LEAST)
        # Two more are the start and the end.
        length = 8 * math.ceil((np.percentile(_lengths(x[:, side], pieces), 98) + 2) / 8)
        sizes[f"{part}_vocabulary_size"] = len(pieces)
        sizes[f"{part}_sequence_length"] = int(min(LONGEST[part], length))
    return sizes


def describe(sizes, x):
    """In words, what `measure` found, and what the score is not."""
    source, target = (sizes[f"{part}_sequence_length"] for part in ("encoder", "decoder"))
    said = [f"the first {source} pieces of a source are read, and the first {target} of a target learnt"]
    for side, length in ((SOURCE, source), (TARGET, target)):
        cut = np.mean([len(words.WORD.findall(text)) + 2 > length for text in x[:, side]])
        said += [f" (at least {cut:.0%} of the {('sources', 'targets')[side]} are longer)"] if cut >= 0.005 else []
    return "".join([*said, ", without capitals"])


def scored(sizes, judged):
    """What the score is, and what it is not; and of how many rows.

    Args:
        sizes: what `measure` found.
        judged: about how many rows there are to judge by.
    """
    said = (
        "Scored by the share of next pieces that are right, each asked for with the true ones before it: how good "
        "whole texts are that a model writes by itself is another question."
    )
    most = at_most(sizes)
    return said + (f" At most {most:,} rows are judged by, evenly drawn." if judged > most else "")


def at_most(sizes):
    """How many rows are chosen by, or judged by, at most: each piece of each has logits of all pieces."""
    return max(1, MOST // (sizes["decoder_sequence_length"] * sizes["decoder_vocabulary_size"]))


def thin(part, sizes):
    """Of too many rows as many as there is memory for, evenly far apart."""
    most = at_most(sizes)
    return part if len(part) <= most else part[np.linspace(0, len(part) - 1, most).astype(int)]


def learn(x, sizes):
    """The preprocessor with the vocabularies of the training rows."""
    import zoo

    source, target = (
        zoo.MixerTokenizer(words.vocabulary(x[:, side], sizes[f"{part}_vocabulary_size"], LEAST))
        for part, side in (("encoder", SOURCE), ("decoder", TARGET))
    )
    lengths = {name: size for name, size in sizes.items() if name.endswith("sequence_length")}
    return zoo.MixerSeq2SeqLMPreprocessor(target, source, **lengths)


def split(preprocessor, x):
    """A `Split`: at each place of a target, told so far, its next piece is to be answered."""
    inputs, y, weight = preprocessor({"encoder_text": list(x[:, SOURCE]), "decoder_text": list(x[:, TARGET])})
    told = words.as_arrays({**inputs, "y": y, "weight": weight})
    y, weight = told.pop("y"), told.pop("weight")
    return Split(told, y, weight.astype("float32"))


def keys(x):
    """What tells whether two rows are the same: the source."""
    return list(x[:, SOURCE])


def model(mixer, width, dropout, sizes, outputs=None):
    """An encoder and a decoder of word pieces; what is explicit reads the source."""
    import zoo

    vocabularies = {name: size for name, size in sizes.items() if name.endswith("vocabulary_size")}
    backbone = zoo.MixerSeq2SeqBackbone(
        **both_sides(mixer),
        **vocabularies,
        hidden_dim=width,
        encoder_sequence_length=sizes["encoder_sequence_length"],
        dropout=dropout,
    )
    return zoo.MixerSeq2SeqLM(backbone)


def write(trained, sources, at_once):
    """What a model makes of sources, greedily, a list of texts; nothing of a source that is empty.

    Args:
        trained: a `zoo.MixerSeq2SeqLM` with its preprocessor.
        sources: a list of texts.
        at_once: how many are written at once.
    """
    import keras

    # On TensorFlow's CPU XLA compiles for longer than such a model writes.
    trained.compile(sampler="greedy", jit_compile=keras.backend.backend() == "jax")
    there = [row for row, source in enumerate(sources) if source.strip()]
    written, at_once = [""] * len(sources), min(at_once, len(there))
    for start in range(0, len(there), at_once or 1):
        chosen = there[start : start + at_once]
        # All batches are of one size, so that one program serves: the last is filled up.
        filled = [*chosen, *[chosen[0]] * (at_once - len(chosen))]
        found = trained.generate([sources[row] for row in filled])
        for row, text in zip(chosen, found):
            written[row] = text
    return written


def _texts(values, name):
    """A column as an object array of texts."""
    found = np.empty(len(values), dtype=object)
    found[:] = ["" if is_missing(value) else str(value) for value in values]
    empty = [row for row, text in enumerate(found) if not text.strip()]
    if empty:
        raise ValueError(
            f"{name!r} is empty in {rows(empty)}. Of a pair both texts must be there: leave such rows out."
        )
    return found


def _lengths(side, pieces):
    """How many pieces texts have at most: what is no piece is spelt."""
    known = set(pieces)
    return [sum(1 if word in known else len(word) for word in words.WORD.findall(text.lower())) for text in side]
