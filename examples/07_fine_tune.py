"""Fine-tuning: a preset that knows praise from blame learns, from few sentences, to tell what is mixed as well.

It is asked about words that none of these sentences has: only what was learned before tells what they mean. Three ways
are tried: all weights learn; those of low rank beside query and value (LoRA); and all from scratch.
"""

import keras
import numpy as np

import zoo

PRAISE = [
    "wonderful",
    "funny",
    "moving",
    "charming",
    "brilliant",
    "delightful",
    "touching",
    "clever",
    "warm",
    "powerful",
]
BLAME = ["dull", "boring", "awful", "lifeless", "stupid", "tedious", "bad", "pointless", "lame", "mediocre"]
NOUNS = ["film", "story", "cast", "script", "ending"]
FOR, AGAINST, MIXED = 0, 1, 2


def sentences(praise, blame):
    """Texts and labels: praise, blame, and both in one sentence."""
    texts, labels = [], []
    for good, bad in zip(praise, blame):
        for noun in NOUNS:
            texts += [f"a {good} {noun} .", f"a {bad} {noun} .", f"a {good} {noun} , but {bad} ."]
            labels += [FOR, AGAINST, MIXED]
    return texts, np.array(labels)


def fine_tune(way, texts, labels, epochs):
    """The preset with a new head for three classes, trained in one of the ways."""
    keras.utils.set_random_seed(0)
    pretrained = zoo.load("mixer_multi_head_sst2")
    backbone = pretrained.backbone
    if way == "from scratch":
        backbone = type(backbone).from_config(backbone.get_config())
    if way == "LoRA":
        backbone.enable_lora(rank=4)
    classifier = zoo.MixerTextClassifier(backbone, num_classes=3, preprocessor=pretrained.preprocessor)
    classifier.compile(keras.optimizers.Adam(3e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier.fit(texts, labels, batch_size=15, epochs=epochs, verbose=0)
    return classifier


def main(epochs=20):
    """Returns the share of sentences with unknown words that is told right, by the way of training."""
    train = sentences(PRAISE[:5], BLAME[:5])
    texts, labels = sentences(PRAISE[5:], BLAME[5:])
    right = {}
    for way in ("all weights", "LoRA", "from scratch"):
        classifier = fine_tune(way, *train, epochs)
        learned = sum(int(np.prod(weight.shape)) for weight in classifier.trainable_weights)
        right[way] = float(np.mean(classifier.predict(texts, verbose=0).argmax(axis=-1) == labels))
        print(f"{way:<12}  {learned:>9,} weights learn; right about unknown words: {right[way]:.0%}")
    return right


if __name__ == "__main__":
    main()
