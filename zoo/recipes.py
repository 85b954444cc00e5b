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


def _pair(subject, backbone, implicit, explicit, options=None, **training):
    """An implicit and an explicit model of one size on one subject."""
    for mixer in (implicit, explicit):
        name = mixer if isinstance(mixer, str) else mixer["mixer"]
        yield Recipe(f"mixer_{name}_{subject}", subject, {**backbone, "mixer": mixer}, options or {}, **training)


def _readers(subject, backbone, options=None, wider=0, **training):
    """A decoder that is told a summary, and one that looks: recurrent, but for the reader.

    A summary costs more weights than a reader, so the one that looks may be so much wider.
    """
    for name, reader in (("gru", None), ("additive", "additive")):
        width = backbone["hidden_dim"] + (wider if reader else 0)
        cells = {"encoder_mixer": _BIDIRECTIONAL, "decoder_mixer": "gru", "reader": reader}
        parts = {**backbone, "hidden_dim": width, **cells}
        yield Recipe(f"mixer_{name}_{subject}", subject, parts, options or {}, **training)


def _captioners(subject, backbone, attention, **training):
    """A cell that is told about an image, and one that looks at its regions."""
    for mixer, options in (("gated_conv", {}), ("multi_head", {"attention": attention})):
        yield Recipe(f"mixer_{mixer}_{subject}", subject, {**backbone, "mixer": mixer}, options, **training)


def _texts():
    small = {"hidden_dim": 128, "num_layers": 1, "dropout": 0.3}
    yield Recipe("mixer_gru_sst2", "sst2", {**small, "mixer": _BIDIRECTIONAL, "positions": None})
    yield Recipe("mixer_multi_head_sst2", "sst2", {**small, "mixer": "multi_head"})
    pieces = {"sequence_length": 128, "vocabulary_size": 10000}
    yield from _pair("reuters_r8", small, "gated_conv", "additive", pieces, epochs=8)
    yield from _pair("reuters_r52", small, "gated_conv", "additive", pieces, epochs=10)
    tagger = {"hidden_dim": 128, "num_layers": 2, "dropout": 0.3}
    yield from _pair("ud_ewt", tagger, _BIDIRECTIONAL, "multi_head", epochs=8, learning_rate=2e-3)


def _streams():
    long = {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3, "seeds": (1,)}
    letters = {"hidden_dim": 256, "num_layers": 5, "dropout": 0.25, "positions": None}
    turned = {"mixer": "multi_head", "positions": "rotary"}
    # The text is small: after 12 passes what is learnt further is the text itself.
    few = {**long, "epochs": 12, "batch_size": 16}
    yield from _pair("tinyshakespeare", letters, "selective_state_space", turned, **few)
    words, options = {"hidden_dim": 240, "num_layers": 3, "dropout": 0.3}, {"sequence_length": 96, "head_dropout": 0.4}
    yield from _pair("wikitext2", words, "gru", turned, options, **long)


def _pairs():
    letters, lengths = (
        {"hidden_dim": 128, "num_layers": 2, "dropout": 0.2},
        {"encoder_sequence_length": 32, "decoder_sequence_length": 32},
    )
    yield from _readers("cmudict", letters, lengths, wider=8, epochs=10, batch_size=256, learning_rate=3e-3, seeds=(1,))
    sentences = {"hidden_dim": 128, "num_layers": 3, "dropout": 0.3}
    long = {"epochs": 20, "batch_size": 128, "learning_rate": 3e-3, "seeds": (1,)}
    yield from _readers("multi30k", sentences, wider=8, **long)
    reports, lengths = (
        {"hidden_dim": 128, "num_layers": 1, "dropout": 0.3},
        {"encoder_sequence_length": 96, "decoder_sequence_length": 24},
    )
    training = {"epochs": 20, "batch_size": 64, "learning_rate": 2e-3, "seeds": (1,)}
    yield from _readers("reuters_headlines", reports, lengths, **training)


def _stories():
    memory = {"mixer": "end_to_end_memory", "hops": 3, "tying": "adjacent", "slots": 50, "noise": 0.1}
    training = {"batch_size": 32, "epochs": 60, "learning_rate": 5e-3, "weight_decay": 0.05}
    options = {"linear_epochs": 15}
    yield Recipe("mixer_end_to_end_memory_babi", "babi", {"hidden_dim": 50, "mixer": memory}, options, **training)
    words = {"hidden_dim": 64, "num_layers": 2, "dropout": 0.1}
    yield from _pair("babi", words, "gru", "multi_head", batch_size=32, epochs=20, learning_rate=2e-3, seeds=(1,))


def _images():
    # Patches: a convolution at every pixel would cost most of the time.
    stem = {"patch_size": 8, "hidden_dim": 128, "num_layers": 3, "dropout": 0.1}
    attention = {"mixer": "additive", "units": 96}
    yield from _captioners("emoji_captions", stem, attention, epochs=60, learning_rate=2e-3, seeds=(1,))
    clothes = {"stem": "convolution", "patch_size": 4, "hidden_dim": 64, "num_layers": 3, "dropout": 0.1}
    near = {"mixer": "depthwise_conv", "kernel_size": 5}
    long = {"epochs": 15, "batch_size": 128, "learning_rate": 3e-3, "seeds": (1,)}
    yield from _pair("fashion_mnist", clothes, near, "multi_head", **long)
    photographs = {**clothes, "hidden_dim": 96, "num_layers": 4, "dropout": 0.05}
    long = {**long, "learning_rate": 2e-3, "weight_decay": 0.05}
    for subject in ("cifar10", "cifar10_bird"):
        yield from _pair(subject, photographs, near, "multi_head", {"head_dropout": 0.1}, **long)


def _speech():
    digits = {"hidden_dim": 64, "num_layers": 2, "subsampling": 2, "stem_width": 5, "dropout": 0.1}
    hidden = {"hidden_frames": 8, "hidden_bands": 6}
    yield from _pair(
        "fsdd", {**digits, **hidden}, "gated_conv", "multi_head", epochs=30, batch_size=32, learning_rate=3e-3
    )
    utterances = {"hidden_dim": 128, "num_layers": 3, "subsampling": 4, "stem_width": 9, "dropout": 0.2}
    hidden = {"hidden_frames": 20, "hidden_bands": 2}
    yield from _pair(
        "an4",
        {**utterances, **hidden},
        _BIDIRECTIONAL,
        "multi_head",
        epochs=60,
        batch_size=16,
        learning_rate=2e-3,
        seeds=(1,),
    )


def _series():
    beats = {"hidden_dim": 48, "num_layers": 3, "patch_size": 4, "dropout": 0.2}
    yield from _pair("mitbih_beats", beats, "gated_conv", "multi_head", {"balance": 0.3}, epochs=6, batch_size=128)
    strips = {"hidden_dim": 48, "num_layers": 3, "patch_size": 8, "dropout": 0.2, "standardize": True}
    yield from _pair(
        "mitbih_strips", strips, _BIDIRECTIONAL, "multi_head", epochs=12, batch_size=32, learning_rate=2e-3
    )
    stays = {"hidden_dim": 48, "num_layers": 1, "dropout": 0.5, "marks_missing": True}
    yield from _pair("physionet2012", stays, _BIDIRECTIONAL, "additive", {"head_dropout": 0.5}, epochs=12)
    few, training = (
        {"hidden_dim": 48, "num_layers": 3, "dropout": 0.1},
        {"epochs": 200, "batch_size": 16, "learning_rate": 2e-3},
    )
    for name in ("italypowerdemand", "gunpoint", "ecg200", "arrowhead", "osuleaf"):
        yield from _pair(f"ucr_{name}", few, "gated_conv", "multi_head", **training)
    yield from _pair("ucr_acsf1", {**few, "patch_size": 4}, "gated_conv", "multi_head", **training)


def _forecasts():
    days = {"hidden_dim": 32, "num_layers": 2, "patch_size": 24, "dropout": 0.3}
    yield from _pair("etth1", days, "gated_conv", "multi_head", epochs=6, batch_size=32)
    yield from _pair("etth2", days, "gated_conv", "multi_head", epochs=6, batch_size=32)
    cars = {**days, "hidden_dim": 64, "dropout": 0.2}
    yield from _pair("metro_traffic", cars, "gated_conv", "multi_head", epochs=20, learning_rate=3e-3)
    load = {**days, "hidden_dim": 64, "dropout": 0.1}
    yield from _pair("pjm_hourly", load, "gated_conv", "multi_head", {"head_dropout": 0.1}, epochs=6, batch_size=32)
    trade = {"hidden_dim": 32, "num_layers": 2, "dropout": 0.3}
    yield from _pair("brent_volatility", trade, "gru", "multi_head", {"pooling": "last"}, epochs=8)


RECIPES = {
    recipe.name: recipe
    for family in (_texts, _streams, _pairs, _stories, _images, _speech, _series, _forecasts)
    for recipe in family()
}
