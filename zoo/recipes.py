"""How each preset was trained: data, read by `zoo.train`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A model trained on a subject.

    Args:
        name: the preset's name.
        subject: a name from `zoo.subjects.SUBJECTS`: the data, and how a model of it is judged.
        backbone: arguments of the subject's backbone, other than those that follow from the data.
        options: what else the subject lets choose; what is left out is the subject's own choice.
        batch_size: examples a step.
        epochs: passes over the training part; the one with the best score on dev is kept.
        learning_rate: AdamW's at its peak; it warms up over a tenth of the steps and then falls as a cosine to 0.
        weight_decay: AdamW's.
        seeds: one run each; the preset is the run with the best score on dev.
    """

    name: str
    subject: str
    backbone: dict
    options: dict = dataclasses.field(default_factory=dict)
    batch_size: int = 64
    epochs: int = 3
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    seeds: tuple = (1, 2, 3)


_BIDIRECTIONAL = {"mixer": "gru", "bidirectional": True}
_SENTENCES = {"hidden_dim": 128, "num_layers": 1, "dropout": 0.3}
_WORDS = {"hidden_dim": 128, "num_layers": 2, "dropout": 0.3}
_DOCUMENTS = {"sequence_length": 128, "vocabulary_size": 10000}
_BEATS = {"hidden_dim": 48, "num_layers": 3, "patch_size": 4, "dropout": 0.2}
_STRIPS = {"hidden_dim": 48, "num_layers": 3, "patch_size": 8, "dropout": 0.2, "standardize": True}
_STAYS = {"hidden_dim": 48, "num_layers": 1, "dropout": 0.5, "marks_missing": True}
_SERIES = {"hidden_dim": 48, "num_layers": 3, "dropout": 0.1}
_ARCHIVE = {"epochs": 200, "batch_size": 16, "learning_rate": 2e-3}
_PLAYS = {"hidden_dim": 256, "num_layers": 5, "dropout": 0.2}
_ARTICLES = {"hidden_dim": 240, "num_layers": 3, "dropout": 0.3}
_WINDOWS = {"sequence_length": 96, "head_dropout": 0.4}
#: For texts that take long: one seed, and more passes.
_LONG = {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3, "seeds": (1,)}
_HOURS = {"hidden_dim": 32, "num_layers": 2, "patch_size": 24, "dropout": 0.3}
_DIGITS = {
    "hidden_dim": 64,
    "num_layers": 2,
    "subsampling": 2,
    "stem_width": 5,
    "dropout": 0.1,
    "hidden_frames": 8,
    "hidden_bands": 6,
}
_UTTERANCES = {
    "hidden_dim": 128,
    "num_layers": 3,
    "subsampling": 4,
    "stem_width": 9,
    "dropout": 0.2,
    "hidden_frames": 20,
    "hidden_bands": 2,
}
_EMOJI = {"stem": "convolution", "patch_size": 8, "hidden_dim": 96, "num_layers": 3, "dropout": 0.1}


_LETTERS = {"hidden_dim": 128, "num_layers": 2, "dropout": 0.2, "encoder_mixer": _BIDIRECTIONAL}
_LENGTHS = {"encoder_sequence_length": 32, "decoder_sequence_length": 32}
_SENTENCE_PAIRS = {"hidden_dim": 128, "num_layers": 3, "dropout": 0.3}
_TRANSLATION = {"epochs": 30, "batch_size": 128, "learning_rate": 3e-3}


def _pair(subject, backbone, implicit, explicit, options=None, **training):
    """An implicit and an explicit model of one size on one subject."""
    for mixer in (implicit, explicit):
        name = mixer if isinstance(mixer, str) else mixer["mixer"]
        yield Recipe(f"mixer_{name}_{subject}", subject, {**backbone, "mixer": mixer}, options or {}, **training)


def _readers(subject, backbone, options=None, **training):
    """A decoder that is told a summary, and one that looks: recurrent, but for the reader."""
    for name, reader in (("gru", None), ("additive", "additive")):
        parts = {**backbone, "decoder_mixer": "gru", "reader": reader}
        yield Recipe(f"mixer_{name}_{subject}", subject, parts, options or {}, **training)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("mixer_gru_sst2", "sst2", {**_SENTENCES, "mixer": _BIDIRECTIONAL, "positions": None}),
        Recipe("mixer_multi_head_sst2", "sst2", {**_SENTENCES, "mixer": "multi_head"}),
        *_pair("ud_ewt", _WORDS, _BIDIRECTIONAL, "multi_head", epochs=8, learning_rate=2e-3),
        *_pair("reuters_r8", _SENTENCES, "gated_conv", "additive", _DOCUMENTS, epochs=8),
        *_pair("reuters_r52", _SENTENCES, "gated_conv", "additive", _DOCUMENTS, epochs=10),
        *_pair("mitbih_beats", _BEATS, "gated_conv", "multi_head", {"balance": 0.3}, epochs=6, batch_size=128),
        *_pair("mitbih_strips", _STRIPS, _BIDIRECTIONAL, "multi_head", epochs=20, batch_size=32),
        *_pair("physionet2012", _STAYS, _BIDIRECTIONAL, "additive", {"head_dropout": 0.5}, epochs=12),
        *(
            each
            for name in ("italypowerdemand", "gunpoint", "ecg200")
            for each in _pair(f"ucr_{name}", _SERIES, "gated_conv", "multi_head", **_ARCHIVE)
        ),
        *_pair("etth1", _HOURS, "gated_conv", "multi_head", epochs=6, batch_size=32),
        *_pair("etth2", _HOURS, "gated_conv", "multi_head", epochs=6, batch_size=32),
        *_pair("tinyshakespeare", _PLAYS, "selective_state_space", "multi_head", **_LONG),
        *_pair("wikitext2", _ARTICLES, "gru", "multi_head", _WINDOWS, **_LONG),
        *_pair("fsdd", _DIGITS, "gated_conv", "multi_head", epochs=15, batch_size=32, learning_rate=3e-3),
        *_pair("an4", _UTTERANCES, _BIDIRECTIONAL, "multi_head", epochs=60, batch_size=16, learning_rate=2e-3),
        Recipe(
            "mixer_gated_conv_emoji_captions",
            "emoji_captions",
            {**_EMOJI, "mixer": "gated_conv"},
            batch_size=64,
            epochs=60,
            learning_rate=2e-3,
        ),
        Recipe(
            "mixer_multi_head_emoji_captions",
            "emoji_captions",
            {**_EMOJI, "mixer": "multi_head"},
            {"attention": {"mixer": "additive", "units": 96}},
            batch_size=64,
            epochs=60,
            learning_rate=2e-3,
        ),
        *_readers("cmudict", _LETTERS, _LENGTHS, epochs=20, batch_size=256, learning_rate=2e-3),
        *_readers("multi30k", {**_SENTENCE_PAIRS, "encoder_mixer": _BIDIRECTIONAL}, **_TRANSLATION),
    )
}
