"""A story and a question in, an answer out: a memory network over sentences, or a stack that reads word by word."""

import inspect
import re

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn import EndToEndMemory, SentenceEncoder
from keras_attn.lookup import choose, number, plain, whole_number
from zoo.backbone import MixerBackbone, as_list, check_stack, stack
from zoo.fitting import PreparedAtOnce
from zoo.heads import LastWord, compile_arguments
from zoo.plain import PlainLayer
from zoo.quantized import Quantizable
from zoo.text import EMBEDDING_SCALE
from zoo.tokens import SPECIAL, UNKNOWN, SymbolTokenizer

#: The name in a spec that stands for a memory network and not for a mixer.
MEMORY = "end_to_end_memory"
#: About the size of a new sentence vector's entries: new words have 0.1, and a sentence is a weighted sum of some.
SENTENCE_SCALE = 0.1


@keras.saving.register_keras_serializable(package="zoo")
class MixerStoryBackbone(MixerBackbone):
    """A story and a question to one vector, of which the answer is made.

    Three kinds of models come of `mixer`:

    - a memory, `"end_to_end_memory"` or `{"mixer": "end_to_end_memory", **options}`: an `EndToEndMemory` that is asked
      in hops, with a slot for each sentence.
    - mixers over the words, a name or a spec from `keras_attn.mixers` or a list of them: story and question are read as
      one text through the zoo's residual stack, and the last word's vector is what comes out.
    - a hybrid, a list of mixers with a memory at its end: the mixers move information between the sentences, and the
      memory is asked about what became of them: each slot holds `m_i + W h_i`, h_i the stack's vector of sentence i.

    Args:
        vocabulary_size: how many word ids there are, padding and special ones among them, at least 1.
        hidden_dim: width D, at least 1.
        num_layers: how many layers the stack has, at least 1. A memory alone has none, but hops.
        mixer: what moves information, see above.
        mlp_ratio: of the stack, hidden width of the network at each position over D, above 0.
        short_convolution: of the stack, how many positions the convolution before each mixer sees; 0 for none.
        positions: of the stack, "sinusoid", or None to leave order to the mixers. A memory learns its own.
        encoding: how a memory's sentences are made of words, "position" or "bag".
        dropout: share of the vectors of question and sentences, and of each branch of the stack, that is dropped in
            training, in [0, 1).
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: a dict of `"story"`, int `(B, S, J)`, S sentences of J words in their order, and `"question"`, int
            `(B, J)`; ids in [0, vocabulary_size), 0 for padding, which never changes an answer.

    Returns:
        `(B, D)`.

    Attributes:
        memory: the `EndToEndMemory`; None if there is none.
        sentences: the memory's `SentenceEncoder`; None if there is no memory.

    Example:
    >>> backbone = MixerStoryBackbone(11, hidden_dim=8, mixer={"mixer": "end_to_end_memory", "hops": 2})
    >>> ids = keras.ops.ones((3, 5, 7), dtype="int32")
    >>> tuple(backbone({"story": ids, "question": ids[:, 0]}).shape)
    (3, 8)

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895 (memory); Xiong et al., 2016,
    https://arxiv.org/abs/1603.01417, section 3.1 (sentences that know of each other before they are asked).
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim=64,
        num_layers=2,
        mixer=MEMORY,
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        encoding="position",
        dropout=0.0,
        dtype=None,
        **kwargs,
    ):
        mixer = plain(mixer)
        whole_number("vocabulary_size", vocabulary_size)
        whole_number("hidden_dim", hidden_dim)
        number("dropout", dropout, 0.0, 1.0, "[)")
        specs, memory = _parts(mixer)
        if specs or memory is None:
            check_stack(specs, num_layers, hidden_dim, mlp_ratio, short_convolution, positions)

        # === Layers ===
        self.memory = self.sentences = self.questions = None
        if memory is not None:
            self.memory = EndToEndMemory(**memory, dtype=dtype, name="memory")
            tables = {"encoding": encoding, "dtype": dtype}
            self.sentences = SentenceEncoder(
                vocabulary_size, hidden_dim, tables=self.memory.tables, name="sentences", **tables
            )
            if self.memory.tying != "adjacent":
                self.questions = SentenceEncoder(vocabulary_size, hidden_dim, name="questions", **tables)

        # === Functional Model ===
        story = keras.Input((None, None), dtype="int32", name="story")
        question = keras.Input((None,), dtype="int32", name="question")
        stacked = {
            "mixer": specs,
            "num_layers": num_layers,
            "mlp_ratio": mlp_ratio,
            "short_convolution": short_convolution,
            "positions": positions,
            "dropout": dropout,
            "dtype": dtype,
        }
        ask = self._read_words if memory is None else self._ask_memory
        outputs = ask(story, question, vocabulary_size, hidden_dim, stacked)
        super().__init__(inputs={"story": story, "question": question}, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.encoding = encoding
        self.dropout = dropout

    @property
    def table_answers(self):
        """Whether the answer is made by the memory's last table, of the last hop's values."""
        return self.memory is not None and self.questions is None

    def _read_words(self, story, question, vocabulary_size, hidden_dim, stacked):
        ids, mask = OneText(dtype=stacked["dtype"], name="text")(story, question)
        words = keras.layers.Embedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=EMBEDDING_SCALE),
            dtype=stacked["dtype"],
            name="words",
        )
        x = stack(words(ids), mask, position_scale=EMBEDDING_SCALE, **stacked)
        return LastWord(dtype=stacked["dtype"], name="last_word")(x, mask)

    def _ask_memory(self, story, question, vocabulary_size, hidden_dim, stacked):
        drop = keras.layers.Dropout(stacked["dropout"], dtype=stacked["dtype"], name="dropout")
        told = drop(self.sentences(story))  # (B, S, R, D)
        mask = ops.any(ops.not_equal(story, 0), axis=-1)
        if stacked["mixer"]:
            x = stack(told[:, :, 0], mask, position_scale=SENTENCE_SCALE, **stacked)
            # Small at first, so that the memory starts with sentences and not with what is mixed of them.
            context = keras.layers.Dense(
                hidden_dim,
                use_bias=False,
                kernel_initializer=keras.initializers.RandomNormal(stddev=SENTENCE_SCALE * hidden_dim**-0.5),
                dtype=stacked["dtype"],
                name="context",
            )
            told = told + context(x)[:, :, None]
        asked = self.sentences(question, table=0) if self.questions is None else self.questions(question)
        return self.memory(drop(asked), told, story_mask=mask, return_attention_scores=True)[0]

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "encoding": self.encoding,
            "dropout": self.dropout,
        }


def has_memory(mixer):
    """Whether a backbone's `mixer` is a memory, or a hybrid that ends with one."""
    return _parts(mixer)[1] is not None


def _parts(mixer):
    """The mixers of a stack, a list, and the options of the memory behind them; None if there is none."""
    *mixers, last = as_list(mixer) or [None]
    if any(_is_memory(spec) for spec in mixers):
        raise ValueError(f"A memory is asked once, at the end of a list of mixers. Received: mixer={plain(mixer)!r}")
    if not _is_memory(last):
        return as_list(mixer), None
    given = {} if isinstance(last, str) else {name: value for name, value in last.items() if name != "mixer"}
    known = [name for name in inspect.signature(EndToEndMemory).parameters if name != "kwargs"]
    return mixers, {choose(f"option of {MEMORY!r}", name, known): value for name, value in given.items()}


def _is_memory(spec):
    return (spec.get("mixer") if isinstance(spec, dict) else spec) == MEMORY


@keras.saving.register_keras_serializable(package="zoo")
class OneText(PlainLayer):
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
class MixerStoryPreprocessor(keras_hub.models.Preprocessor):
    """Stories with questions to ids of words, in lower case and without punctuation; answers to ids, and back.

    Args:
        tokenizer: a `SymbolTokenizer` of words; an answer of several words is one entry of its vocabulary.
        sentences: S, how many of the last sentences of a story are kept.
        words: J, how many words of a sentence or a question are kept.

    Call arguments:
        x: a list of examples, each a pair of a story, a list of sentences, and a question; or one text, whose last
            sentence is the question. What is prepared already, a dict, passes, and so does y with it.
        y: answers, a list of strings, or their ids; None for none.
        sample_weight: passed through.

    Returns:
        `{"story": (B, S, J), "question": (B, J)}`, int32, and what came with it; answers as ids `(B,)`, int32, that of
        the unknown word for one that is not known.

    Example:
    >>> x = [(["Mary went home."], "Where is Mary?"), "John slept. Who slept?"]
    >>> preprocessor = MixerStoryPreprocessor.of(x, ["home", "John"], sentences=2, words=3)
    >>> preprocessor.tokenizer.get_vocabulary()[4:]
    ['home', 'is', 'john', 'mary', 'slept', 'went', 'where', 'who']
    >>> preprocessor(x)["story"].tolist()
    [[[7, 9, 4], [0, 0, 0]], [[6, 8, 0], [0, 0, 0]]]
    """

    backbone_cls = MixerStoryBackbone
    tokenizer_cls = SymbolTokenizer

    def __init__(self, tokenizer, sentences=50, words=12, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.sentences = whole_number("sentences", sentences)
        self.words = whole_number("words", words)
        self.built = True

    @classmethod
    def of(cls, x, answers, **options):
        """A preprocessor that knows every word of these stories and questions, and every one of these answers."""
        known = {word for sentence in _sentences(_pairs(x)) for word in split_words(sentence)}
        known |= {answer.lower() for answer in answers}
        return cls(SymbolTokenizer([*SPECIAL, *sorted(known - set(SPECIAL))]), **options)

    def call(self, x, y=None, sample_weight=None):
        if not isinstance(x, dict):
            x, y = self._ids(_pairs(x)), None if y is None else self.answers(y)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def _ids(self, pairs):
        rows = {sentence: self._row(sentence) for sentence in _sentences(pairs)}
        story = np.zeros((len(pairs), self.sentences, self.words), dtype="int32")
        question = np.zeros((len(pairs), self.words), dtype="int32")
        for index, (sentences, asked) in enumerate(pairs):
            for place, sentence in enumerate(sentences[-self.sentences :]):
                story[index, place] = rows[sentence]
            question[index] = rows[asked]
        return {"story": story, "question": question}

    def _row(self, sentence):
        ids = self.tokenizer(" ".join(split_words(sentence)))[: self.words]
        return ids + [0] * (self.words - len(ids))

    def answers(self, answers):
        """Ids `(N,)`, int32, of answers in words; ids stay as they are."""
        ids = {word: index for index, word in enumerate(self.tokenizer.get_vocabulary())}
        unknown = ids[UNKNOWN]
        found = [ids.get(each.lower(), unknown) if isinstance(each, str) else each for each in answers]
        return np.array(found, dtype="int32")

    def texts(self, logits):
        """The likeliest answers by logits `(B, vocabulary_size)`: a list of strings, none of them a special token."""
        return [self.tokenizer.id_to_token(int(index)) for index in likeliest(logits)]

    def kept(self, x):
        """For each example the sentences of its story that are kept, a list of strings, and its question."""
        return [(list(sentences[-self.sentences :]), question) for sentences, question in _pairs(x)]

    def get_config(self):
        return {**super().get_config(), "sentences": self.sentences, "words": self.words}


def likeliest(logits):
    """The ids `(B,)` of the largest logits `(B, vocabulary_size)`, those of special tokens left out."""
    return np.argmax(logits[:, len(SPECIAL) :], axis=-1) + len(SPECIAL)


def split_words(sentence):
    """The words of a sentence, in lower case, without punctuation."""
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*", sentence.lower())


def split_sentences(text):
    """The sentences of a text, each up to its `.`, `?` or `!` with white space behind it."""
    return re.split(r"(?<=[.?!])\s+", text.strip())


def _pairs(x):
    """Examples as pairs of a list of sentences and a question."""
    return [_pair(example) for example in x]


def _pair(example):
    if isinstance(example, str):
        *story, question = split_sentences(example)
        return story, question
    story, question = example if isinstance(example, (list, tuple)) and len(example) == 2 else (None, None)
    if not isinstance(story, (list, tuple)) or not all(isinstance(each, str) for each in (question, *story)):
        raise ValueError(
            "An example is a pair of a story, a list of sentences, and a question, or a text that ends with the "
            f"question. Received: {str(example)[:80]!r}"
        )
    return story, question


def _sentences(pairs):
    """All sentences and questions, each once."""
    return {sentence for story, question in pairs for sentence in (*story, question)}


@keras.saving.register_keras_serializable(package="zoo")
class MixerStoryAnswerer(PreparedAtOnce, Quantizable, keras_hub.models.Task):
    """Stories and questions to the logits of answers, each a word of the vocabulary.

    `fit` takes examples and answers in words, `predict` gives logits, and `answer` gives words. With a memory, `look`
    gives the sentences that were looked at.

    Args:
        backbone: a `MixerStoryBackbone`.
        preprocessor: a `MixerStoryPreprocessor`; None if inputs come as ids.

    Call arguments:
        inputs: as for the backbone.

    Returns:
        `(B, vocabulary_size)`.

    Example:
    >>> x = [(["Mary went home.", "John left."], "Where is Mary?")]
    >>> preprocessor = MixerStoryPreprocessor.of(x, ["home"])
    >>> backbone = MixerStoryBackbone(preprocessor.tokenizer.vocabulary_size(), hidden_dim=8)
    >>> answerer = MixerStoryAnswerer(backbone, preprocessor)
    >>> answerer.answer(x)[0] in preprocessor.tokenizer.get_vocabulary()
    True
    >>> answerer.look(x)[0].shape
    (3, 2)
    """

    backbone_cls = MixerStoryBackbone
    preprocessor_cls = MixerStoryPreprocessor

    def __init__(self, backbone, preprocessor=None, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor

        # === Functional Model ===
        inputs = backbone.input
        state = backbone(inputs)
        if backbone.table_answers:
            outputs = backbone.sentences(state, reverse=True)
        else:
            self.output_dense = keras.layers.Dense(backbone.vocabulary_size, dtype=backbone.dtype_policy, name="logits")
            outputs = self.output_dense(state)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        super().compile(**compile_arguments(optimizer, loss, metrics), **kwargs)

    def answer(self, x):
        """The likeliest answer to each example, raw as `predict` takes them: a list of strings."""
        return self._prepared().texts(self.predict(x, verbose=0))

    def look(self, x):
        """Of each raw example the weights `(hops, sentences kept)` over the last sentences of its story.

        Raises:
            ValueError: if the model has no memory, or no preprocessor.
        """
        if self.backbone.memory is None:
            raise ValueError(
                "Only a model with a memory has weights over sentences. "
                f"Received: a model of mixer={plain(self.backbone.mixer)!r}"
            )
        counts = [len(sentences) for sentences, _ in self._prepared().kept(x)]
        looks = keras.Model(self.backbone.input, self.backbone.get_layer("memory").output[1])
        weights = looks.predict(self.preprocessor(x), verbose=0)[:, :, 0]  # (B, hops, S)
        return [row[:, :count] for row, count in zip(weights, counts)]

    def _prepared(self):
        if self.preprocessor is None:
            raise ValueError("Sentences are read by a preprocessor: give one. Received: preprocessor=None")
        return self.preprocessor
