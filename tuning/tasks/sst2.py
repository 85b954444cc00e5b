"""SST-2: is a sentence of a film review for or against the film? Real text, read from `$KERAS_ATTN_DATA`."""

from tuning import texts as words
from tuning.task import Data, Split, Task

WORDS, LENGTH = 4000, 32


def data(seed):
    """The published splits, as they are: 6,920 sentences to train on, 872 to choose by, 1,821 to judge by."""
    import zoo
    from zoo.datasets import sst2

    splits = {name: sst2.load(name) for name in ("train", "dev", "test")}
    tokenizer = zoo.MixerTokenizer(words.vocabulary(splits["train"][0], WORDS))
    preprocessor = zoo.MixerTextClassifierPreprocessor(tokenizer, sequence_length=LENGTH)
    train, valid, test = (Split(words.as_arrays(preprocessor(texts)), labels) for texts, labels in splits.values())
    return Data(train, valid, test, preprocessor)


def model(mixer, width, dropout):
    """A classifier over the word pieces."""
    import zoo

    backbone = zoo.MixerTextBackbone(WORDS, hidden_dim=width, mixer=mixer, dropout=dropout, sequence_length=LENGTH)
    return zoo.MixerTextClassifier(backbone, num_classes=2, dropout=dropout)


SST2 = Task(
    name="sst2",
    description="Sentences of film reviews, for or against the film (SST-2).",
    data=data,
    model=model,
    parameters=150_000,
    epochs=4,
    batch_size=64,
    mixers=(
        "multi_head",
        "additive",
        "gru",
        "gated_conv",
        "linear_recurrence",
        ("gru", "multi_head"),
        "identity",
        "pooling",
    ),
    trials=2,
    seeds=3,
    margin=0.01,
    learning_rates=(5e-4, 1.5e-3, 5e-3),
    dropouts=(0.3, 0.1),
    needs="the data set sst2 (keras-attn data list)",
)
