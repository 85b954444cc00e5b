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
    "mixer_additive_reuters_r52": "ad6eabda4717649b4523b29018edba2ca5888c0ff9c60120b78585de8b260fad",
    "mixer_additive_reuters_r8": "75ef17d18a60a68d5554310d1472ef231680052b9daab5d77586fbff403e2db2",
    "mixer_depthwise_conv_fashion_mnist": "fd4d6fc8237eabad97f39795e7fde53112a0a39bb95b32cc1117081e2aa1f929",
    "mixer_end_to_end_memory_babi": "e160300450faf5fb8b161ed8a7fd24042ddfb2f8fad533bbc0fde1bfeca321c9",
    "mixer_gated_conv_emoji_captions": "c6c44228633be8bc43cfa113e2abeb846bdf7f2556c98e9d70e997908ad586e5",
    "mixer_gated_conv_etth1": "fe457602a3c4f44c77ffcf59c9da25d286f199b5acb81321e7bd302e813cbc9b",
    "mixer_gated_conv_etth2": "bab90bd17f847d78ee1e1f9362ab8ddceccb3b6cdd7dd5682c33ee99eb881904",
    "mixer_gated_conv_fsdd": "d608b537ce9b10ff5736419b93fa3278af71aeae5354be92f82e4f9e53fdd952",
    "mixer_gated_conv_metro_traffic": "35b15e51ab26a4adfca3c4f086e76b14dfb1e130a845b93072f15237b21a27d1",
    "mixer_gated_conv_mitbih_beats": "c51debffb30208f8299bb151bf241aec9eabb706ffbbb62375f41a999d6d4ff3",
    "mixer_gated_conv_pjm_hourly": "c67e62d0f4b0a160c03d7aebb52883babc96cb58ba9e56a51506cc8d795a2d00",
    "mixer_gated_conv_reuters_r52": "6750c42212ebcf3d993f5478819617ba977bdc02169dc4b11c71b95fd1b05ee7",
    "mixer_gated_conv_reuters_r8": "5704fb047e14db9af5d9a46b1b0354f28387c5de687907d3b4e7b879effcf521",
    "mixer_gated_conv_ucr_ecg200": "f07ea91c510ec78443ff80be8daffa5f69e5559c0b3d183e6620204f1f6d4725",
    "mixer_gated_conv_ucr_gunpoint": "530310f487f1889c9ba45dbfbd4aad122dc04ab0173c3f2d263c6749e1524665",
    "mixer_gated_conv_ucr_italypowerdemand": "65a96b652918c3792bd6c3e9cd75de3c5ef8b0c7947745d8320c3a4de6ac3214",
    "mixer_gru_an4": "e9e01c8ae8bc359858d349e3aafcd1a2a6d5dcafa22523d24ec197d956b6cdab",
    "mixer_gru_brent_volatility": "3429f2cf0f195dd689116bbafe69f800961b50ab3c17feff38897d2ba5c15900",
    "mixer_gru_cmudict": "c66676fb091eb8f7f97e71d99189b99cad03ea1f38958be45779780b21ada73c",
    "mixer_gru_mitbih_strips": "4105cd21168c5c3217d8ecc38c77a377d5597d14b2eea8a7dd980ba4f61f8793",
    "mixer_gru_physionet2012": "79c5656a05463dab54a10418f19726642e2cb1574ee975bc9f1f41995a7a50be",
    "mixer_gru_reuters_headlines": "8372af3023d6af8403c92bd82815a614eac16fbacdfbee290363feaaedb4fb2b",
    "mixer_gru_sst2": "a5f90087c3275467744b0d7aae4295f3a7325361ae1fb63a5258c1f1a238ada6",
    "mixer_gru_ud_ewt": "84f6380788b29d6864d635c7077b74787eef25f78d5ae4967d1ba9dcba3ff8da",
    "mixer_multi_head_an4": "9fcf396c3a0699116b1c8accccf3c4392882e70d6bdec9626a0a59c3405ece7d",
    "mixer_multi_head_brent_volatility": "4e1788a8705f324a6f627ac7f15e0a4f5ad0cbde4431bd719582bfa52ae0358a",
    "mixer_multi_head_emoji_captions": "10e574710ecb4a863c89b1f3aa3aded2dfa710b0e29f2408e4c5de9132b2011b",
    "mixer_multi_head_etth1": "a1f245915698c33f2166797d60873d546296a75c96fc716278956ab6a5b841b8",
    "mixer_multi_head_etth2": "957e685579c7b52adcb79717b381f825ba3ba77124d6187b14e75d5f7090aec8",
    "mixer_multi_head_fashion_mnist": "0d3f95c2c717a7c089db84eee8daab6c8da931437e39d4f41590413f9a11df86",
    "mixer_multi_head_fsdd": "48858b7864e0ccb7bf24b8295c4e5b08a6ebbf917817f1d5eeace82fe08bdb13",
    "mixer_multi_head_metro_traffic": "6fe1352aa472faf2c8650e5e672a65da24c6a5d1517884d60bcf7318bc7873ab",
    "mixer_multi_head_mitbih_beats": "7ed19632ae42c922f3b4d865da85b39fb51573daa80ad7c72596ba2bf81fce77",
    "mixer_multi_head_mitbih_strips": "54f14272a2a0eb120f6fef7116e79af42614a2d949e61913607cff389215c7c9",
    "mixer_multi_head_pjm_hourly": "4e0dd24cbea6b02f3bf450733faa88aedb21a4afb1c4f8420bdf73a2f576e8f9",
    "mixer_multi_head_sst2": "e97176623eded041bf5afdbccb8f39c7c4980936d049ef55e916b4e21f1c3038",
    "mixer_multi_head_tinyshakespeare": "94105068b1bed39e66fa62fe04df6614623c642f85d910775270c94dc432f6a7",
    "mixer_multi_head_ucr_ecg200": "f7668bcf90e2cc5d39e991704c303ff66706bf187a5eb43f870b48e5b5388df4",
    "mixer_multi_head_ucr_gunpoint": "935ed70a87aca11a5823085fd5756168f90730d1ce281c391a77b9c1852df63e",
    "mixer_multi_head_ucr_italypowerdemand": "b3162249794ca474935019c94291fb9b024c78c5369b646fd73cd2bc8304d60a",
    "mixer_multi_head_ud_ewt": "f559cbaa451b40ac55cab535b267160a31f00f0cc6b13ececd7a64b2ca953481",
    "mixer_selective_state_space_tinyshakespeare": "1c1ccb09f32e09d2c7fed91c251b9926b905133e9a0687e0470c13ee18d6a837",
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
