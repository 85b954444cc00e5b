"""Copy: letters, a mark, then the letters again."""

from tuning.tasks import sequences

LETTERS, COUNT = 16, 20
MARK, BLANK = LETTERS, LETTERS + 1
EPOCH, EPOCHS = 2_560, 8


def rule(numbers, count):
    """Sequences `s1 ... s20 mark blank ...`; from the mark on the labels are `s1 ... s20`."""
    letters = numbers.integers(LETTERS, size=(count, COUNT))
    return sequences.then(letters, letters, MARK, BLANK)


def data(seed):
    """Splits by the rule."""
    return sequences.splits("copy", rule, seed, EPOCH * EPOCHS)


def model(mixer, width, dropout):
    """A causal tagger: at each position one of the letters."""
    return sequences.tagger(mixer, width, dropout, vocabulary=LETTERS + 2, outputs=LETTERS, length=2 * COUNT)


COPY = sequences.task(
    name="copy",
    description="Copy: 20 letters of 16, then the same again.",
    data=data,
    model=model,
    parameters=20_000,
    epochs=EPOCHS,
    epoch_size=EPOCH,
    # Jelassi et al., 2024, https://arxiv.org/abs/2402.01032: what has a state of fixed size forgets.
    answer="explicit",
)
