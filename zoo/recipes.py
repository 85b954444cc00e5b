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

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("mixer_gru_sst2", "sst2", {**_SENTENCES, "mixer": _BIDIRECTIONAL, "positions": None}),
        Recipe("mixer_multi_head_sst2", "sst2", {**_SENTENCES, "mixer": "multi_head"}),
    )
}
