"""Multi30k: descriptions of photographs in English, and their translations to German and French.

- Source: github.com/multi30k/dataset at a3d2e0d26b56f3846f66a952536ffed4e401d05a, `data/task1/raw/*.{en,de,fr}.gz`.
- Licence: none as a file; its README: for researchers and educators, non-commercial research or education (Flickr30k).
- Papers: Elliott et al., 2016, https://arxiv.org/abs/1605.00459; Elliott et al., 2017,
  https://arxiv.org/abs/1710.07177 (French, and the tests of 2017).
"""

from keras_attn.lookup import choose
from zoo.datasets import files

SOURCE = "github.com/multi30k/dataset (data/task1/raw)"
LICENCE = "non-commercial research and education"
LANGUAGES = ("en", "de", "fr")
#: The splits by their names in the files.
SPLITS = {
    "train": "train",
    "dev": "val",
    "test": "test_2016_flickr",
    "test_2017_flickr": "test_2017_flickr",
    "test_2017_mscoco": "test_2017_mscoco",
}


def load(split, source="en", target="de"):
    """Sentences of a split in two languages.

    Args:
        split: "train" (29,000 pairs), "dev" (1,014), "test" (the 1,000 of 2016 that are called Flickr), or the two of
            2017, "test_2017_flickr" (1,000) and "test_2017_mscoco" (461).
        source, target: "en", "de" or "fr".

    Returns:
        Two lists of as many strings, as they were written: not in tokens, and with capitals. No pair of English and
        German in "train" is in another split; one of English and French is in "dev".
    """
    name = SPLITS[choose("split of multi30k", split, SPLITS)]
    for language in (source, target):
        choose("language of multi30k", language, LANGUAGES)
    paths = [files.find("multi30k", f"{name}.{language}.gz", SOURCE) for language in (source, target)]
    sources, targets = ([_read_line(*row, path) for row in files.read_lines(path)] for path in paths)
    if len(sources) != len(targets):
        raise ValueError(
            f"{paths[0]} and {paths[1]} must have as many lines as each other. "
            f"Received: {len(sources)} and {len(targets)}"
        )
    return sources, targets


def _read_line(number, line, path):
    if not line.strip():
        raise ValueError(f"Line {number} of {path} must be a sentence. Received: {line!r}")
    return line.strip()
