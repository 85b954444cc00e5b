"""Large memories in small language models: product keys for a feed-forward network, and nearest neighbours.

    export KERAS_BACKEND=jax KERAS_ATTN_DATA=data
    python benchmarks/memory_language.py product_key --seeds 0 1 2 --out runs.jsonl
    python benchmarks/memory_language.py nearest --seeds 0 1 2 --out runs.jsonl
    python benchmarks/memory_language.py summary --out runs.jsonl

A run that is finished is a line of the file; what has a line already is not run again. `--only NAME` runs one model.

`product_key`: a causal transformer with rotary positions. "with" has a `ProductKeyMemory` in the place of the
feed-forward network of its middle block, "without" has not, and "wider" is "without" with feed-forward networks that
are `--wide` times wider. Multiplications per token are counted from the shapes, steps are timed.

`nearest`: blocks of attention within segments of 64 tokens. In its middle block "memory" retrieves the 32 nearest of
all earlier segments of the same document; "without" is the same layer, with all its weights, for which every segment
is a document of its own; "recurrence" is `SegmentMemory`, which sees one segment more. They are tested on rows of the
length that they were trained on, and on rows `--longer` times as long.

Data: tinyshakespeare (bytes; one document, of which the last tenth is the test and the tenth before it the validation)
or wikitext2 (words, all but the most frequent 8,191 as one; an article is a document; its own validation and test).
"""

import argparse
import collections
import gzip
import json
import os
import re
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

from keras_attn import MultiHeadAttention, NearestMemory, ProductKeyMemory, SegmentMemory
from keras_attn.memory import product_key

WIDTH, BLOCKS, HEADS, SEGMENT, NEIGHBOURS = 128, 3, 4, 64, 32
MEMORY = {"half_keys": 128, "num_heads": HEADS, "k": 16, "key_dim": 64, "value_rate": 4.0}
VOCABULARY, EVALUATIONS = 8192, 10
MODELS = {"product_key": ("without", "with", "wider"), "nearest": ("without", "memory", "recurrence")}


def tokens(data):
    """The vocabulary's size, and of "train", "valid" and "test" the tokens and their documents, both `(n,)`."""
    folder = Path(os.environ["KERAS_ATTN_DATA"]) / data
    if data == "tinyshakespeare":
        text = np.frombuffer(gzip.decompress((folder / "input.txt.gz").read_bytes()), dtype="uint8").astype("int32")
        parts = np.split(text, [len(text) * 8 // 10, len(text) * 9 // 10])
        return 256, {name: (x, np.zeros_like(x)) for name, x in zip(("train", "valid", "test"), parts)}
    texts = {
        part: gzip.decompress((folder / f"{part}.txt.gz").read_bytes()).decode().split("\n")
        for part in ("train", "valid", "test")
    }
    counts = collections.Counter(word for line in texts["train"] for word in [*line.split(), "<eos>"])
    index = {word: i + 1 for i, (word, _) in enumerate(counts.most_common(VOCABULARY - 1))}
    return VOCABULARY, {part: _articles(lines, index) for part, lines in texts.items()}


def _articles(lines, index):
    ids, documents, article = [], [], 0
    for line in lines:
        # " = Title = " and not " = = Section = = "
        article += bool(re.match(r"^ = [^=].*[^=] = $", line))
        words = [index.get(word, 0) for word in [*line.split(), "<eos>"]]
        ids += words
        documents += [article] * len(words)
    return np.array(ids, "int32"), np.array(documents, "int32")


def rows(part, length):
    """All of a part as rows: tokens and documents `(n, length)`, and the tokens that follow."""
    ids, documents = part
    count = (len(ids) - 1) // length
    cut = slice(0, count * length)
    return (ids[cut].reshape(count, length), documents[cut].reshape(count, length)), ids[1:][cut].reshape(count, length)


def batches(part, length, size, seed):
    """Batches of rows that start anywhere, for ever."""
    rng, (ids, documents) = np.random.default_rng(seed), part
    while True:
        at = rng.integers(0, len(ids) - length - 1, size=(size, 1)) + np.arange(length)
        yield (ids[at], documents[at]), ids[at + 1]


class Block(layers.Layer):
    """`x + mix(norm(x))`, then `x + work(norm(x))`; `documents` are for a mixer that asks for them."""

    def __init__(self, mixer, work, alone=False, **kwargs):
        super().__init__(**kwargs)
        self.norms = [layers.LayerNormalization(epsilon=1e-5) for _ in range(2)]
        self.mixer, self.work, self.alone = mixer, work, alone

    def call(self, x, documents):
        if isinstance(self.mixer, NearestMemory):
            if self.alone:
                documents = ops.broadcast_to(ops.arange(ops.shape(x)[1]) // SEGMENT, ops.shape(documents))
            mix = self.mixer(self.norms[0](x), segment_ids=documents)
        else:
            mix = self.mixer(self.norms[0](x), use_causal_mask=True)
        x = x + mix
        return x + self.work(self.norms[1](x))


def network(hidden):
    return keras.Sequential([layers.Dense(hidden, activation="gelu"), layers.Dense(WIDTH)])


def build(part, name, vocabulary, wide):
    """The model, from tokens and documents `(B, T)` to logits `(B, T, vocabulary)`."""
    ids, documents = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    x = layers.Embedding(vocabulary, WIDTH, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0))(ids)
    for index in range(BLOCKS):
        middle = index == BLOCKS // 2
        if part == "product_key":
            mixer = MultiHeadAttention(HEADS, use_bias=False, positions="rotary")
            hidden = round(4 * WIDTH * (wide if name == "wider" else 1.0))
            work = ProductKeyMemory(**MEMORY, name="memory") if middle and name == "with" else network(hidden)
            x = Block(mixer, work)(x, documents)
        else:
            mixer = NearestMemory(HEADS, segment_length=SEGMENT, neighbours=NEIGHBOURS)
            if middle and name == "recurrence":
                mixer = SegmentMemory(HEADS, segment_length=SEGMENT)
            x = Block(mixer, network(4 * WIDTH), alone=not (middle and name == "memory"))(x, documents)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    return keras.Model([ids, documents], layers.Dense(vocabulary)(x))


def multiplications(part, name, wide):
    """Multiplications per token in the blocks, without looking and the output layer, which are the same for all."""
    plain, memory = 4 * WIDTH**2, MEMORY
    if name == "with":
        queries = WIDTH * memory["num_heads"] * memory["key_dim"]
        halves = memory["num_heads"] * memory["half_keys"] * memory["key_dim"]
        reads = memory["num_heads"] * memory["k"] * WIDTH
        return BLOCKS * plain + (BLOCKS - 1) * 8 * WIDTH**2 + queries + halves + reads
    return round(BLOCKS * (plain + 8 * WIDTH**2 * (wide if name == "wider" else 1.0)))


def loss_of(model, part, length, size):
    """Nats per token."""
    inputs, targets = rows(part, length)
    # Whole batches, so that nothing is compiled again for the last one.
    count = max(len(targets) // size * size, min(size, len(targets)))
    losses = [
        model.test_on_batch([x[first : first + size] for x in inputs], targets[first : first + size])
        for first in range(0, count, size)
    ]
    return float(np.mean(losses))


def run(part, name, seed, asked, data):
    """Trains one model; what is tested is the state that was best in the validation."""
    vocabulary, parts = data
    keras.utils.set_random_seed(seed)
    model = build(part, name, vocabulary, asked.wide)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, asked.steps, warmup_target=asked.learning_rate, warmup_steps=min(100, asked.steps // 10), alpha=0.1
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.01, global_clipnorm=1.0)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stream = batches(parts["train"], asked.length, asked.batch, seed)
    best, weights, curve, took = np.inf, None, [], []
    for step in range(1, asked.steps + 1):
        inputs, targets = next(stream)
        start = time.perf_counter()
        model.train_on_batch(list(inputs), targets)
        took.append(time.perf_counter() - start)
        if step % max(1, asked.steps // EVALUATIONS) == 0:
            curve.append((step, round(loss_of(model, parts["valid"], asked.length, asked.batch), 4)))
            print(f"{part} {name} seed {seed}: step {step}, validation {curve[-1][1]}", flush=True)
            if curve[-1][1] < best:
                best, weights = curve[-1][1], model.get_weights()
    model.set_weights(weights)
    longer = asked.longer * asked.length
    found = {
        "parameters": model.count_params(),
        "multiplications": multiplications(part, name, asked.wide),
        "milliseconds per step": round(1e3 * float(np.median(took)), 1),
        "validation": best,
        "test": loss_of(model, parts["test"], asked.length, asked.batch),
        "curve": curve,
    }
    if part == "nearest":
        found["test, longer"] = loss_of(model, parts["test"], longer, max(1, asked.batch // asked.longer))
    if name == "with":
        found |= used(model, parts["test"], asked)
    return found


def used(model, part, asked):
    """How evenly the memory is used in the test."""
    block = next(layer for layer in model.layers if isinstance(layer, Block) and layer.work.name == "memory")
    upto = keras.Model(model.inputs, block.input[0] if isinstance(block.input, list) else block.input)
    inputs, _ = rows(part, asked.length)
    totals = 0.0
    for first in range(0, len(inputs[0]), asked.batch):
        batch = [x[first : first + asked.batch] for x in inputs]
        x = upto(batch)
        x = x + block.mixer(block.norms[0](x), use_causal_mask=True)
        totals = totals + block.work.totals(block.norms[1](x))
    return {
        "usage": round(float(product_key.usage(totals)), 4),
        "kl to uniform": round(float(product_key.kl_to_uniform(totals)), 4),
    }


def finished(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=(*MODELS, "summary"))
    parser.add_argument("--data", choices=("tinyshakespeare", "wikitext2"), default="tinyshakespeare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--longer", type=int, default=4, help="how much longer the rows of the second test are")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--wide", type=float, default=2.0, help='how much wider the networks of "wider" are')
    parser.add_argument("--out", type=Path, default=Path("memory_language.jsonl"))
    asked = parser.parse_args()
    if asked.what == "summary":
        return summary(finished(asked.out))
    data = tokens(asked.data)
    options = ("data", "steps", "length", "longer", "batch", "learning_rate", "wide")
    for seed in asked.seeds:
        for name in asked.only or MODELS[asked.what]:
            job = {"part": asked.what, "name": name, "seed": seed, "backend": keras.config.backend()}
            job |= {option: getattr(asked, option) for option in options}
            if any(all(line.get(key) == value for key, value in job.items()) for line in finished(asked.out)):
                continue
            start = time.perf_counter()
            found = run(asked.what, name, seed, asked, data)
            line = {**job, **found, "seconds": round(time.perf_counter() - start)}
            with asked.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    summary(finished(asked.out))


def summary(lines):
    """The median over seeds of each model, and its range: perplexity per token."""
    columns = ("test", "test, longer")
    print(
        "| part, data, steps | model | seeds | parameters | multiplications | ms per step | perplexity | longer rows |"
    )
    print("|---|---|---|---|---|---|---|---|")
    key = ("part", "data", "steps", "name")
    groups = collections.defaultdict(list)
    for line in lines:
        groups[tuple(line[k] for k in key)].append(line)
    for (part, data, steps, name), group in groups.items():
        first, cells = group[0], []
        for column in columns:
            found = np.exp([line[column] for line in group if column in line])
            cells.append(f"{np.median(found):.3f} ({found.min():.3f}-{found.max():.3f})" if len(found) else "")
        speed = np.median([line["milliseconds per step"] for line in group])
        sizes = f"{first['parameters']:,} | {first['multiplications']:,} | {speed:.0f}"
        print(f"| {part}, {data}, {steps} | {name} | {len(group)} | {sizes} | {cells[0]} | {cells[1]} |")
        if "usage" in first:
            print(f"|  | usage {first['usage']}, KL to uniform {first['kl to uniform']} (first seed) | | | | | | |")


if __name__ == "__main__":
    main()
