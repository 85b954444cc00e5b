"""Questions about a story: what makes arrays of texts, the models, and one that takes texts and answers in words."""

import dataclasses
import inspect
import re

import keras
import numpy as np
from keras import ops

from keras_attn import EndToEndMemory, SentenceEncoder, masks
from keras_attn.lookup import choose, plain, whole_number
from zoo.backbone import check_stack, stack

PADDING, UNKNOWN = "[PAD]", "[UNK]"
#: The name in a spec that stands for a memory network and not for a mixer over the words.
MEMORY = "end_to_end_memory"


@dataclasses.dataclass(frozen=True)
class StoryVectorizer:
    """Stories and questions to arrays of word ids, in lower case and without punctuation.

    Args:
        vocabulary: padding, the unknown word, then all words and answers; an answer of several words is one entry.
        sentences: S, how many of the last sentences of a story are kept.
        words: J, how many words of a sentence or a question are kept.

    Example:
    >>> stories, questions, answers = [["Mary went home."]], ["Where is Mary?"], ["home"]
    >>> vectorizer = StoryVectorizer.of(stories, questions, answers, sentences=2, words=3)
    >>> vectorizer(stories, questions)["story"].tolist()
    [[[4, 5, 2], [0, 0, 0]]]
    """

    vocabulary: tuple[str, ...]
    sentences: int = 50
    words: int = 12

    def __post_init__(self):
        if tuple(self.vocabulary[:2]) != (PADDING, UNKNOWN):
            raise ValueError(f"A vocabulary starts with {PADDING!r}, {UNKNOWN!r}. Received: {self.vocabulary[:2]}")
        whole_number("sentences", self.sentences)
        whole_number("words", self.words)

    @classmethod
    def of(cls, stories, questions, answers, **sizes):
        """A vectorizer that knows every word of these texts."""
        sentences = [*(sentence for story in stories for sentence in story), *questions]
        known = {word for sentence in set(sentences) for word in split_words(sentence)} | {
            answer.lower() for answer in answers
        }
        return cls((PADDING, UNKNOWN, *sorted(known)), **sizes)

    def __call__(self, stories, questions):
        """`{"story": (N, S, J), "question": (N, J)}`, int32, for N stories (lists of sentences) and questions."""
        if isinstance(stories, str) or any(isinstance(story, str) for story in stories):
            raise ValueError("A story is a list of sentences, and there is one for each question. Received: a string")
        if len(stories) != len(questions):
            raise ValueError(
                "There must be as many stories as questions. "
                f"Received: {len(stories)} stories, {len(questions)} questions"
            )
        ids = {word: index for index, word in enumerate(self.vocabulary)}
        rows = {
            sentence: self._row(ids, sentence) for sentence in {*questions, *(s for story in stories for s in story)}
        }
        story = np.zeros((len(stories), self.sentences, self.words), dtype="int32")
        for index, sentences in enumerate(stories):
            for place, sentence in enumerate(sentences[self._first(sentences) :]):
                story[index, place] = rows[sentence]
        question = np.array([rows[question] for question in questions], dtype="int32")
        return {"story": story, "question": question.reshape(-1, self.words)}

    def answers(self, answers):
        """The ids `(N,)` of answers in words; one that is not known gets that of the unknown word."""
        ids = {word: index for index, word in enumerate(self.vocabulary)}
        return np.array([ids.get(answer.lower(), 1) for answer in answers], dtype="int32")

    def facts(self, stories, facts):
        """Booleans `(N, S)`: which of the sentences that are kept are among `facts`, indices into each story."""
        mask = np.zeros((len(stories), self.sentences), dtype=bool)
        for row, sentences, indices in zip(mask, stories, facts):
            kept = np.array(indices, dtype=int) - self._first(sentences)
            row[kept[kept >= 0]] = True
        return mask

    def _first(self, sentences):
        return max(0, len(sentences) - self.sentences)

    def _row(self, ids, sentence):
        row = [ids.get(word, 1) for word in split_words(sentence)][: self.words]
        return row + [0] * (self.words - len(row))


def split_words(sentence):
    """The words of a sentence, in lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", sentence.lower())


def build(vocabulary_size, mixer=MEMORY, width=50, encoding="position", num_layers=1, dropout=0.0):
    """A model that answers a question about a story with a word.

    Args:
        vocabulary_size: how many word ids there are, at least 1.
        mixer: what moves information. `"end_to_end_memory"` or `{"mixer": "end_to_end_memory", **options}` is an
            `EndToEndMemory` over the sentences, whose tables make the answer too. A name or a spec from
            `keras_attn.mixers`, or a list of them, reads story and question as one text, word by word, through the
            zoo's residual stack, and answers from the last word.
        width: D, at least 1.
        encoding: how the memory's sentences are made of words, "position" or "bag".
        num_layers: how many layers the stack has, at least 1. A memory has hops.
        dropout: share of the vectors of question and sentences, or of each branch of the stack, that is dropped in
            training, in [0, 1).

    Returns:
        A `keras.Model` of `{"story": (B, S, J), "question": (B, J)}`, int, 0 for padding, to logits
        `(B, vocabulary_size)`. That of a memory has a layer "memory", whose second output is its weights.

    Example:
    >>> model = build(vocabulary_size=11, mixer={"mixer": "end_to_end_memory", "hops": 2}, width=8)
    >>> ids = keras.ops.ones((3, 5, 7), dtype="int32")
    >>> tuple(model({"story": ids, "question": ids[:, 0]}).shape)
    (3, 11)
    """
    story = keras.Input((None, None), dtype="int32", name="story")
    question = keras.Input((None,), dtype="int32", name="question")
    spec = mixer if isinstance(mixer, dict) else {"mixer": mixer}
    if spec.get("mixer") == MEMORY:
        logits = _ask_memory(story, question, vocabulary_size, spec, width, encoding, dropout)
    else:
        logits = _read_text(story, question, vocabulary_size, plain(mixer), width, num_layers, dropout)
    return keras.Model({"story": story, "question": question}, logits)


def _ask_memory(story, question, vocabulary_size, spec, width, encoding, dropout):
    known = [name for name in inspect.signature(EndToEndMemory).parameters if name != "kwargs"]
    given = {choose(f"option of {MEMORY!r}", name, known): value for name, value in spec.items() if name != "mixer"}
    memory = EndToEndMemory(**given, name="memory")
    drop = keras.layers.Dropout(dropout, name="dropout")
    encoder = SentenceEncoder(vocabulary_size, width, tables=memory.tables, encoding=encoding, name="sentences")
    told = drop(encoder(story))
    if memory.tying == "adjacent":
        state, _ = memory(drop(encoder(question, table=0)), told, return_attention_scores=True)
        return encoder(state, reverse=True)
    asked = SentenceEncoder(vocabulary_size, width, encoding=encoder.encoding, name="questions")
    state, _ = memory(drop(asked(question)), told, return_attention_scores=True)
    return keras.layers.Dense(vocabulary_size, use_bias=False, name="logits")(state)


def _read_text(story, question, vocabulary_size, mixer, width, num_layers, dropout):
    check_stack(mixer, num_layers, width, 2.0, 3, "sinusoid")
    ids, mask = OneText(name="text")(story, question)
    x = keras.layers.Embedding(vocabulary_size, width, name="words")(ids)
    x = stack(x, mask, mixer, num_layers, 2.0, 3, "sinusoid", position_scale=0.05, dropout=dropout)
    return keras.layers.Dense(vocabulary_size, name="logits")(LastWord(name="last_word")(x, mask))


@keras.saving.register_keras_serializable(package="zoo")
class OneText(keras.layers.Layer):
    """The words of a story, then those of the question, without the padding between them.

    Call arguments:
        story: int `(B, S, J)`, 0 for padding.
        question: int `(B, J)`.

    Returns:
        Ids and a boolean mask `(B, S·J + J)`, padding last.

    Example:
    >>> ids, _ = OneText()(keras.ops.array([[[7, 0], [5, 6]]]), keras.ops.array([[3, 0]]))
    >>> keras.ops.convert_to_numpy(ids).tolist()
    [[7, 5, 6, 3, 0, 0]]
    """

    def call(self, story, question):
        ids = ops.concatenate([ops.reshape(story, (ops.shape(story)[0], -1)), question], axis=1)
        padding = ops.cast(ops.equal(ids, 0), "int32")
        # Padding gets places behind all others. No two places are equal, so that any way of sorting keeps the order.
        places = ops.arange(ops.shape(ids)[1], dtype="int32") + padding * ops.shape(ids)[1]
        ids = ops.take_along_axis(ids, ops.argsort(places, axis=1), axis=1)
        return ids, ops.not_equal(ids, 0)

    def compute_output_spec(self, story, question):
        known = None not in (*story.shape[1:], question.shape[1])
        shape = (story.shape[0], story.shape[1] * story.shape[2] + question.shape[1] if known else None)
        return keras.KerasTensor(shape, dtype="int32"), keras.KerasTensor(shape, dtype="bool")


@keras.saving.register_keras_serializable(package="zoo")
class LastWord(keras.layers.Layer):
    """What stands at the last real position, of real ones that come first; zero where there are none.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, nonzero for real positions.

    Returns:
        `(B, D)`.

    Example:
    >>> last = LastWord()(keras.ops.array([[[1.0], [2.0], [3.0]]]), keras.ops.array([[1, 1, 0]]))
    >>> keras.ops.convert_to_numpy(last).tolist()
    [[2.0]]
    """

    def call(self, inputs, padding_mask):
        count = ops.sum(ops.cast(ops.cast(padding_mask, "bool"), "int32"), axis=1)[:, None, None]
        last = ops.take_along_axis(masks.zero(inputs, padding_mask), ops.maximum(count - 1, 0), axis=1)
        return last[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


class StoryAnswerer:
    """Texts in, an answer in words out, and what a memory looked at for it.

    Args:
        model: a model from `build`, trained on what `vectorizer` makes.
        vectorizer: a `StoryVectorizer`.

    Example:
    >>> stories, questions = [["Mary went home.", "John left."]], ["Where is Mary?"]
    >>> vectorizer = StoryVectorizer.of(stories, questions, ["home"], sentences=5, words=3)
    >>> answerer = StoryAnswerer(build(len(vectorizer.vocabulary), width=8), vectorizer)
    >>> answerer.answer(stories, questions)[0] in vectorizer.vocabulary
    True
    >>> answerer.look(stories, questions)[0].shape
    (3, 2)
    """

    def __init__(self, model, vectorizer):
        self.model = model
        self.vectorizer = vectorizer

    def answer(self, stories, questions):
        """The likeliest answer to each question, a list of strings."""
        logits = self.model.predict(self.vectorizer(stories, questions), verbose=0)
        # Not the padding.
        return [self.vectorizer.vocabulary[index] for index in logits[:, 1:].argmax(axis=-1) + 1]

    def look(self, stories, questions):
        """For each question the weights `(hops, sentences kept)` over the last sentences of its story."""
        weights = looks(self.model).predict(self.vectorizer(stories, questions), verbose=0)[:, :, 0]
        return [row[:, : min(len(story), self.vectorizer.sentences)] for row, story in zip(weights, stories)]


def looks(model):
    """The model of the same inputs to the weights `(B, hops, 1, S)` of the memory, from one that `build` made."""
    names = [layer.name for layer in model.layers]
    if "memory" not in names:
        raise ValueError(f"Only a model with a memory has weights over sentences. Received: a model of layers {names}")
    return keras.Model(model.input, model.get_layer("memory").output[1])
