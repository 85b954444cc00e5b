"""Long texts of which each token is foretold."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_attn.lookup import choose
from zoo.batches import Shuffled
from zoo.datasets import tinyshakespeare, wikitext2
from zoo.language import MixerCausalLM, MixerCausalLMPreprocessor
from zoo.perplexity import stream, surprisals
from zoo.subjects.subject import SPLITS, Subject
from zoo.text import MixerTextBackbone
from zoo.tokens import END, UNKNOWN, SymbolTokenizer


@dataclasses.dataclass(frozen=True)
class Stream(Subject):
    """One long text.

    Args:
        read: a function from a split's name to a text.
        symbols: what its tokens are, "words" or "characters".
        prompt: a text that is shown on the card with what the model takes to be the next token.
    """

    read: Callable = None
    symbols: str = "words"
    prompt: str = ""
    lower_is_better: bool = True

    #: Tokens that are read at once, in training and after; whether the embeddings make the logits; and the share of the
    #: last vectors dropped, in [0, 1).
    OPTIONS = {"sequence_length": 256, "tied": True, "head_dropout": 0.1}
    #: A score is that of the last quarter of windows, so that each token has three quarters of a window before it.
    COUNTED = 4

    def load(self, split):
        return self.read(choose("split", split, SPLITS)), None

    def example(self):
        return self.prompt

    def prepare(self, recipe, work):
        # The vocabulary costs a pass over the text: less than a file.
        tokenizer = SymbolTokenizer.of([self.load("train")[0]], split=self.symbols)
        return MixerCausalLMPreprocessor(tokenizer, sequence_length=self.settings(recipe)["sequence_length"])

    def build(self, recipe, preprocessor):
        backbone = MixerTextBackbone(preprocessor.tokenizer.vocabulary_size(), causal=True, **recipe.backbone)
        settings = self.settings(recipe)
        return MixerCausalLM(backbone, preprocessor, tied=settings["tied"], dropout=settings["head_dropout"])

    def loss(self, recipe):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def encode(self, preprocessor, inputs):
        """The whole stream, cut into windows that do not overlap; padding behind the last."""
        window = preprocessor.sequence_length
        ids = stream(preprocessor.tokenizer, inputs)
        padded = np.full(-(-len(ids) // window) * window, preprocessor.tokenizer.pad_token_id, dtype="int32")
        padded[: len(ids)] = ids
        mask = (np.arange(len(padded)) < len(ids)).astype("int32")
        return {"token_ids": padded.reshape(-1, window), "padding_mask": mask.reshape(-1, window)}

    def batches(self, recipe, preprocessor, inputs, targets, seed):
        # In each epoch the text is cut elsewhere, so that each token gets every context.
        ids, window = _whole(inputs), preprocessor.sequence_length
        first = int(np.random.default_rng(seed).integers(window))
        count = (len(ids) - 1 - first) // window
        if count < 1:
            raise ValueError(
                f"The text to train on must have two windows of {window} tokens. Received: {len(ids)} tokens"
            )
        x, y = (ids[start : start + count * window].reshape(count, window) for start in (first, first + 1))
        return Shuffled({"token_ids": x, "padding_mask": np.ones_like(x)}, y, recipe.batch_size, seed)

    def outputs(self, model, inputs):
        """The surprisal of each token but the first, in nats: no array of logits, which would be large."""
        window = inputs["token_ids"].shape[1]
        return surprisals(model, _whole(inputs), window, max(1, window // self.COUNTED))

    def judge(self, task, split="test"):
        inputs = self.encode(task.preprocessor, self.load(split)[0])
        return self.scores(self.outputs(task, inputs), None) | {
            "tokens before each, at least": self._context(task.preprocessor.sequence_length),
            "tokens before each, at most": task.preprocessor.sequence_length,
        }

    def _context(self, window):
        return window - max(1, window // self.COUNTED) + 1

    def score(self, outputs, answers):
        nats = float(np.mean(outputs))
        return nats if self.symbols == "characters" else float(np.exp(nats))

    def scores(self, outputs, answers):
        nats = float(np.mean(outputs))
        other = ("bits per character", nats / np.log(2)) if self.symbols == "characters" else ("nats per word", nats)
        return {"score": self.score(outputs, answers), other[0]: float(other[1])}


def _whole(inputs):
    """The stream `(N,)` of its windows."""
    return inputs["token_ids"][inputs["padding_mask"] > 0]


def _shakespeare(split):
    """What others train on, without its last twentieth, which chooses; what they choose by is the test."""
    if split == "test":
        return tinyshakespeare.load("dev")
    text = tinyshakespeare.load("train")
    first = len(text) * 19 // 20
    return text[:first] if split == "train" else text[first:]


def _wikitext(split):
    special = {wikitext2.END: END, wikitext2.UNKNOWN: UNKNOWN}
    return " ".join(special.get(word, word) for word in wikitext2.load(split))


TINYSHAKESPEARE = Stream(
    name="tinyshakespeare",
    summary="The next character of plays by Shakespeare",
    data="Tiny Shakespeare: 953,661 characters to train, 50,193 to choose, 111,540, the last tenth, to test; "
    + tinyshakespeare.SOURCE,
    licence=tinyshakespeare.LICENCE,
    limits="Writes what looks like the plays; it knows nothing else, and what it says means nothing.",
    measure="nats per character",
    goal=1.5,
    published=(
        "6 layers of attention, 384 wide, 10.7M parameters, chosen by what it is scored on (nanoGPT): 1.4697",
        "4 layers of attention, 128 wide, 0.8M parameters (nanoGPT): 1.88",
    ),
    read=_shakespeare,
    symbols="characters",
    prompt="ROMEO:\nBut, soft! what light",
)
WIKITEXT2 = Stream(
    name="wikitext2",
    summary="The next word of articles of Wikipedia",
    data=f"WikiText-2: 2,088,628 words to train, 217,646 to choose, 245,569 to test; {wikitext2.SOURCE}",
    licence=wikitext2.LICENCE,
    limits="Knows 33,276 words of English, numbers as they stand; what it says is no fact.",
    measure="word perplexity",
    goal=100.0,
    published=(
        "LSTM, Grave 2016: 99.3",
        "AWD-LSTM, 33M parameters, Merity 2018: 65.8",
    ),
    read=_wikitext,
    prompt="The game was released in",
)
