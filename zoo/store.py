"""Presets: trained models as directories of data. Saving, loading, and the list of those that come with the zoo."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_attn.lookup import choose
from zoo import cards, safety
from zoo.caption import MixerCaptioner
from zoo.forecaster import MixerForecaster
from zoo.image import MixerImageClassifier
from zoo.language import MixerCausalLM
from zoo.recognizer import MixerSpeechRecognizer
from zoo.safety import PresetError
from zoo.seq2seq import MixerSeq2SeqLM
from zoo.series import MixerSeriesClassifier
from zoo.speech import MixerSpeechClassifier
from zoo.story import MixerStoryAnswerer
from zoo.tagger import MixerTagger
from zoo.text import MixerTextClassifier
from zoo.transcriber import MixerAudioToText

#: The only classes `load` returns.
TASKS = {
    f"zoo>{task.__name__}": task
    for task in (
        MixerTextClassifier,
        MixerTagger,
        MixerCausalLM,
        MixerSeq2SeqLM,
        MixerStoryAnswerer,
        MixerImageClassifier,
        MixerCaptioner,
        MixerSpeechClassifier,
        MixerSpeechRecognizer,
        MixerAudioToText,
        MixerSeriesClassifier,
        MixerForecaster,
    )
}
#: Presets that come with the zoo, each with the SHA-256 of its list of checksums.
PRESETS = {
    "mixer_additive_cmudict": "79c561120764437c1dd2367145d6e99733ddc8c9a4b17b15bdddb48b37032a24",
    "mixer_additive_multi30k": "179af2dd4f8a4f6c3b149fa4c8f92421c05deecd667aaa39cc29c60b86761a5f",
    "mixer_additive_physionet2012": "11f13c8d270b04797b59fa0547bb2581cb7237513f6096162e686de6388d7b4e",
    "mixer_additive_reuters_headlines": "2eb758fb64e3b88b54f98f45fbb70e0d46d4c7ffa8b1326691b35cd5de727bae",
    "mixer_additive_reuters_r52": "defdf9b2c1a182193daa438bf4428d8579e6f10873376caf50d2339e2a01a0bb",
    "mixer_additive_reuters_r8": "f3f30e7749fa2d2f931cea023c704adb69848a3f622f11dedb05d502571f4344",
    "mixer_depthwise_conv_fashion_mnist": "6f81f5cca907348d7818c2d1de3e918484d7fea7abf3a4c6ca896a53277d5789",
    "mixer_end_to_end_memory_babi": "98a81444355207c69c2278fb9c3a384af5f1331f4dae98df6426fc9ff698af44",
    "mixer_gated_conv_emoji_captions": "0b3b2baf89a489ad9e008e00a17468b2850d556d753bab7abf3783f5c2161234",
    "mixer_gated_conv_etth1": "9e254ce1ba2f8fb355cdd953bbc4beb2d2473389b40d1718f83d3268393c19fd",
    "mixer_gated_conv_etth2": "ea0e6f100b8342538b483d56fd4c7d328d52ae1d04c2c17bd42b4e080315d882",
    "mixer_gated_conv_fsdd": "4a3fef8da8e5161ebf92360a480163fad07902652bf6eef9822e85d4e470b9cc",
    "mixer_gated_conv_metro_traffic": "35b15e51ab26a4adfca3c4f086e76b14dfb1e130a845b93072f15237b21a27d1",
    "mixer_gated_conv_mitbih_beats": "702672a7e8ba7d7f61dcabcfab7b3d63401a7ea272ea4ac068793d47906b18d8",
    "mixer_gated_conv_pjm_hourly": "c67e62d0f4b0a160c03d7aebb52883babc96cb58ba9e56a51506cc8d795a2d00",
    "mixer_gated_conv_reuters_r52": "afdb81632c721bb3673872be2da1d71cdfb863ddced9aa14e1b2eeade36b0ac2",
    "mixer_gated_conv_reuters_r8": "75c2119588226ac806c305b2d7f5baf9bb95b6c5286393b8e40eafc085ee5293",
    "mixer_gated_conv_ucr_ecg200": "f07ea91c510ec78443ff80be8daffa5f69e5559c0b3d183e6620204f1f6d4725",
    "mixer_gated_conv_ucr_gunpoint": "530310f487f1889c9ba45dbfbd4aad122dc04ab0173c3f2d263c6749e1524665",
    "mixer_gated_conv_ucr_italypowerdemand": "64be38f7442d63e789d4d53af0e6212e117c8930e1b8b8e686a415beea18799f",
    "mixer_gru_an4": "49677f284deeeaeed51d66f28e5e885a3eec782af3891d58322bad44ab3cf6ba",
    "mixer_gru_brent_volatility": "3429f2cf0f195dd689116bbafe69f800961b50ab3c17feff38897d2ba5c15900",
    "mixer_gru_cmudict": "d2307430c518aa7243f84be8c79106e3512485268a769271189278e189c52f7a",
    "mixer_gru_mitbih_strips": "d5d360383ec86592e8f9d4f0df7b507d8bd0cc3c1d42d882dae8327300d141c2",
    "mixer_gru_physionet2012": "9e607c24f2eec3c1d80b120232f505a61d27a0ee3a7d058ff89c6e0abcece4e8",
    "mixer_gru_reuters_headlines": "986501a22472dfaf480c73d83f192c36176586294aca51935152656a1b67cbf8",
    "mixer_gru_sst2": "f8fc2fc56bf0827aba75dd9690dc8f184edd838195c3899192570e0244d2c9e8",
    "mixer_gru_ud_ewt": "a224db0358e4578a373b179304afe78305eaf6c6c39c006827f89bb09c140f2c",
    "mixer_multi_head_an4": "1969ee2dc1c8676776079e4c81a983b0679cdb452189cbd5b065527c60378327",
    "mixer_multi_head_brent_volatility": "4e1788a8705f324a6f627ac7f15e0a4f5ad0cbde4431bd719582bfa52ae0358a",
    "mixer_multi_head_emoji_captions": "20b286bdf473166b1c46fad027b12b020cf6ace5df61b24dabd8dc73c6f7bd45",
    "mixer_multi_head_etth1": "876ceff4af085700ee0be65d35135a2ef5484787bdf802d187ad5345a78ee13f",
    "mixer_multi_head_etth2": "1b25ae241aa72b57126a0c46e24a1f60662577722671a74eab880b3bb711bd32",
    "mixer_multi_head_fashion_mnist": "ea218061bfc34bc8335cd7f902b77d327c94ad96fb649832e7efc7ee15448669",
    "mixer_multi_head_fsdd": "284a9d76550619c143ed4135d65fb59b31a23861044e81a39ba92740e5c47b17",
    "mixer_multi_head_metro_traffic": "6fe1352aa472faf2c8650e5e672a65da24c6a5d1517884d60bcf7318bc7873ab",
    "mixer_multi_head_mitbih_beats": "2bb022a563a4c283c3b1d72c73a0e944c9823a2212ac0c2350a0010b30a5fe20",
    "mixer_multi_head_mitbih_strips": "c7ebc4b5deb8e3682ad6330a5919f0a505f1fa92a24a5f39156e1f37ffac0760",
    "mixer_multi_head_pjm_hourly": "4e0dd24cbea6b02f3bf450733faa88aedb21a4afb1c4f8420bdf73a2f576e8f9",
    "mixer_multi_head_sst2": "8c608a1477291236e54f1bcfb82e1acb1aa31b29e9bef16793ee4306ac063ef1",
    "mixer_multi_head_tinyshakespeare": "7845659a147205722e0070140293b8d6f98ecddc08dbbddfec1266bd5b891972",
    "mixer_multi_head_ucr_ecg200": "f7668bcf90e2cc5d39e991704c303ff66706bf187a5eb43f870b48e5b5388df4",
    "mixer_multi_head_ucr_gunpoint": "935ed70a87aca11a5823085fd5756168f90730d1ce281c391a77b9c1852df63e",
    "mixer_multi_head_ucr_italypowerdemand": "b3162249794ca474935019c94291fb9b024c78c5369b646fd73cd2bc8304d60a",
    "mixer_multi_head_ud_ewt": "05597b2f4874c3fa37960f18aefda4f5094270f93c48726d011abb62d6864137",
    "mixer_selective_state_space_tinyshakespeare": "c43582c23573c37f28d1ed78e6c7016f82c97970a34a250fd929b0fef61a48ff",
}
DIRECTORY = Path(__file__).parent / "presets"


def presets():
    """The presets that come with the zoo: a dict from name to card.

    Example:
    >>> presets()["mixer_gru_sst2"]["kind"]
    'implicit'
    """
    return {name: card(name) for name in PRESETS}


def card(name_or_directory):
    """The card of a preset, by its name or its directory: a dict, see `zoo.cards`."""
    return safety.read_json(_find(name_or_directory), "card.json")


def has_card(name_or_directory):
    """Whether a preset, named or by its directory, has a card; `save` writes one only if it is given."""
    return (_find(name_or_directory) / "card.json").is_file()


def load(name_or_directory):
    """The trained task model of a preset, verified before anything is built.

    Args:
        name_or_directory: a name from `presets()`, or the path of a directory that `save` wrote.

    Returns:
        A task model of the zoo, such as a `MixerTextClassifier`, with its weights.

    Raises:
        ValueError: if there is no such preset; near names are shown.
        PresetError: if the preset is damaged, names what may not be built, or is of a version that is not here.
    """
    directory = _find(name_or_directory)
    try:
        return _build(directory)
    except PresetError as error:
        advice = safety.newer(directory)
        if not advice:
            raise
        raise PresetError(f"{error} {advice}") from error


def _build(directory):
    safety.verify(directory)
    task = TASKS[_read_class(directory, "task.json", TASKS)]
    # KerasHub takes a config.json of another form for a model of another library.
    _read_class(directory, "config.json", [f"zoo>{task.backbone_cls.__name__}"])
    try:
        return task.from_preset(str(directory))
    except Exception as error:
        raise PresetError(f"The preset {directory} cannot be built: {error}") from error


def save(task, directory, card=None, weights="float32", files=None):
    """Writes a task model as a preset: configs, vocabulary, weights, card and checksums.

    The directory is there whole or not at all: what is written stands beside it, as `.NAME.part`, until all of it is,
    and when something fails it is removed. After a kill the next `save` removes it.

    Args:
        task: one of the zoo's task models.
        directory: path of a directory that is empty or does not exist yet.
        card: a dict for people: what it was trained on, and how well it does. See `zoo.cards`.
        weights: "float32", or "float16" for files of half the size. They load into models of any dtype.
        files: further files for people, such as pictures: a dict from plain names to bytes.

    Raises:
        TypeError, ValueError: for what is no task model of the zoo, or other `weights`.
        PresetError: if the directory holds anything or cannot be written, or float16 cannot hold a weight. Nothing is
            written then.
    """
    check_class(task)
    if weights not in ("float32", "float16"):
        raise ValueError(f"`weights` must be 'float32' or 'float16'. Received: weights={weights!r}")
    check_free(directory)
    if weights == "float16":
        _check_half(task)
    with _written_whole(Path(directory).resolve()) as part:
        _copy_untrained(task).save_to_preset(str(part))
        if weights == "float16":
            for file in part.glob("*.weights.h5"):
                _halve(file)
        for name, content in (files or {}).items():
            (part / name).write_bytes(content)
        if card is not None:
            cards.write(card, part)
        safety.write_checksums(part)


def check_free(directory):
    """Raises `PresetError` unless a preset can be written there: into an empty directory, or one that is made."""
    directory = Path(directory).resolve()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise PresetError(
            f"A preset is written into an empty directory, and {directory} is not empty: name another one."
        )
    there = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PresetError(f"A preset cannot be written to {directory}: {there} is no folder that you may write into.")


@contextlib.contextmanager
def _written_whole(directory):
    """A folder to write into, which takes the directory's place when all is written; if that fails nothing is left."""
    if directory.exists() and not _can_be_replaced(directory):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            for each in Path(folder).iterdir():
                shutil.move(each, directory)
        return
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if directory.exists():
            directory.rmdir()  # Not every system renames to a name that is taken.
        os.replace(part, directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _can_be_replaced(directory):
    """Whether a directory can make room for another of its name: not if someone stands in it, or it is a disk."""
    return directory != Path.cwd() and not os.path.ismount(directory) and os.access(directory.parent, os.W_OK)


def check_class(task):
    """Raises `TypeError` for what is no task model of the zoo, which no preset can hold."""
    if type(task) not in TASKS.values():
        raise TypeError(f"A preset holds one of {', '.join(TASKS)}. Received: {type(task).__name__}")


def _find(name):
    """The directory of a preset; a name from the list comes before a directory that happens to be called so."""
    if str(name) in PRESETS:
        directory = DIRECTORY / str(name)
        _check_digest(directory, PRESETS[str(name)])
        return directory
    if os.path.isdir(str(name)):
        return Path(name).resolve()
    return choose("preset (and no such directory)", str(name), PRESETS)


def _read_class(directory, file, known):
    """The registered name of the class that a config describes: one of the known ones."""
    config = safety.read_json(directory, file)
    name = config.get("registered_name") if isinstance(config, dict) else None
    if name not in known:
        raise PresetError(f"{file} of the preset {directory} names {name!r}; it may name only {', '.join(known)}.")
    return name


def _check_digest(directory, expected):
    file = directory / safety.CHECKSUMS
    found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "no file"
    if found != expected:
        raise PresetError(f"{safety.CHECKSUMS} of {directory} was changed. Expected: {expected}. Found: {found}.")


def _copy_untrained(task):
    """The task with the weights it has and a new optimizer: the state of an old one would be saved with the weights."""
    config = task.get_config()
    # A preset says what was learned, not how precisely to compute with it: `from_preset` has an argument for that, and
    # KerasHub cannot read mixed policies.
    config["backbone"]["config"]["dtype"] = keras.dtype_policies.serialize(keras.DTypePolicy("float32"))
    copy = type(task).from_config(config)
    copy.preprocessor = task.preprocessor  # With its vocabulary, which no config holds.
    for (_, weights), (twin, _) in zip(_weights_of_layers(task), _weights_of_layers(copy), strict=True):
        twin.load_own_variables(weights)
    return copy


def _weights_of_layers(task):
    """Each layer with weights of its own, and these as they go into files: what LoRA adds is then within them."""
    for layer in task._flatten_layers():
        weights = {}
        layer.save_own_variables(weights)
        if weights:
            yield layer, weights


def _check_half(task):
    """Raises before anything is written if there are weights that float16 cannot hold."""
    for layer, weights in _weights_of_layers(task):
        for name, value in weights.items():
            _as_half(f"{layer.path}/{name}", keras.ops.convert_to_numpy(value))


def _halve(file):
    """Rewrites a weight file with float32 stored as float16; in place, HDF5 would not give the space back."""
    half = file.with_suffix(".half")
    with h5py.File(file) as source, h5py.File(half, "w") as target:
        source.visititems(lambda path, item: _copy_item(path, item, target))
        target.attrs.update(source.attrs)
    os.replace(half, file)


def _copy_item(path, item, target):
    if isinstance(item, h5py.Group):
        copied = target.require_group(path)
    else:
        copied = target.create_dataset(path, data=_as_half(path, item[()]))
    copied.attrs.update(item.attrs)


def _as_half(path, value):
    value = np.asarray(value)
    if value.dtype != np.float32:
        return value
    if value.size and not np.abs(value).max() <= np.finfo(np.float16).max:
        raise PresetError(f"The weights {path} do not fit float16 (at most 65504): save with weights='float32'.")
    return value.astype(np.float16)
