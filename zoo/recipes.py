"""How each preset was trained: data, read by `zoo.train`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A text classifier trained on SST-2.

    Args:
        name: the preset's name.
        backbone: arguments of `MixerTextBackbone` other than `vocabulary_size`.
        vocabulary_size: word pieces at most, learned from the training phrases.
        sequence_length: tokens of a text at most, start and end included.
        head_dropout: share of the pooled vector dropped in training, in [0, 1).
        word_dropout: share of the tokens replaced by the unknown one in training, in [0, 1).
        label_smoothing: share of a label spread over the classes, in [0, 1).
        batch_size: texts a step.
        epochs: passes over the phrases; the one with the best accuracy on dev is kept.
        learning_rate: AdamW's at its peak; it warms up over a tenth of the steps and then falls as a cosine to 0.
        weight_decay: AdamW's.
        seeds: one run each; the preset is the run with the best accuracy on dev.
    """

    name: str
    backbone: dict
    vocabulary_size: int = 8000
    sequence_length: int = 64
    head_dropout: float = 0.3
    word_dropout: float = 0.1
    label_smoothing: float = 0.1
    batch_size: int = 64
    epochs: int = 3
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    seeds: tuple = (1, 2, 3)


_SHARED = {"hidden_dim": 128, "num_layers": 1, "dropout": 0.3}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("mixer_gru_sst2", {**_SHARED, "mixer": {"mixer": "gru", "bidirectional": True}, "positions": None}),
        Recipe("mixer_multi_head_sst2", {**_SHARED, "mixer": "multi_head"}),
    )
}
