"""Small data of a person's own, for tests."""

import numpy as np

WORDS = ("a", "film", "with", "some", "long", "scenes", "and", "quiet", "ones")


def reviews(count=61, seed=0):
    """Texts that differ, and what they say of a film: "pro" for two of three."""
    numbers = np.random.default_rng(seed)
    labels = ["pro" if number % 3 else "con" for number in range(count)]
    texts = [
        f"{' '.join(numbers.choice(WORDS, 5))} {number} {'good' if label == 'pro' else 'bad'}"
        for number, label in enumerate(labels)
    ]
    return texts, labels


def tagged(count=34):
    """Rows of words that differ, and a tag for each: names, verbs and numbers."""
    tokens = [["Al", "saw", str(number)] if number % 2 else ["She", str(number)] for number in range(count)]
    return tokens, [["N", "V", "#"] if number % 2 else ["N", "#"] for number in range(count)]


def write(path, columns):
    """A CSV file of columns by name."""
    import pandas as pd

    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def review_file(path, **more):
    """A CSV file of reviews, with more columns."""
    texts, labels = reviews()
    return write(path, {"review": texts, "stars": labels, **more})


def pictures(folder, counts=(5, 7), size=(14, 11)):
    """A folder of dark cats and bright dogs."""
    import PIL.Image

    numbers = np.random.default_rng(0)
    for name, count, light in (("cat", counts[0], 90), ("dog", counts[1], 255)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = (numbers.random((*size, 3)) * light).astype("uint8")
            PIL.Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return str(folder)


def translated(count=61):
    """Sources and targets: in each row a number of its own, twice, as a word."""
    sources = [f"number {number} and {number}" for number in range(100, 100 + count)]
    return sources, [f"Nummer {number} und {number}!" for number in range(100, 100 + count)]


def pair_file(path, **more):
    """A CSV file of pairs, with more columns."""
    sources, targets = translated()
    return write(path, {"de": targets, "en": sources, **more})
