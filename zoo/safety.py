"""Before a preset is built: are its files those that were written, and do its configs name only what may be built?

Checksums find damage, not malice: who can change a file can change its checksum. What guards against malice is that
configs may name nothing outside `PACKAGES`, nothing that carries code, and no file outside the preset.
"""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path, PurePosixPath

import keras
import keras_hub
from packaging.version import InvalidVersion, Version

import keras_attn

CHECKSUMS = "checksums.json"
#: Bytes of a config that are read: more is no model.
LONGEST_CONFIG = 2**26
PACKAGES = ("keras", "keras_hub", "keras_attn", "zoo", "tuning")
#: What reads a preset: if it was of a newer version that saved it, that may be why it is not understood.
READERS = {"keras-attn": keras_attn.__version__, "keras-hub": keras_hub.__version__, "keras": keras.__version__}
#: Keras layers that carry code or read files of their own.
CARRY_CODE = ("Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")
#: What stands for tensors, arrays and the like among the arguments of a functional model's layers.
DATA = ("__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__")
#: Texts for people, from which nothing is built.
NOT_CONFIGS = ("card.json", "metadata.json", CHECKSUMS)


class PresetError(ValueError):
    """A preset that is damaged, incomplete, or asks for what it may not have."""


def write_checksums(directory):
    """Writes SHA-256 and size of every file of the preset, and who writes, into its `checksums.json`."""
    directory = Path(directory)
    files = {path: _describe(directory / path) for path in _list_files(directory) if path != CHECKSUMS}
    content = {"files": files, "saved_with": READERS}
    (directory / CHECKSUMS).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def newer(directory):
    """What to do about a preset that a newer version saved than is here, a sentence; "" if none did, or none is known.

    It is for presets that are not understood: most of a newer version's are.
    """
    try:
        saved = read_json(directory, CHECKSUMS)["saved_with"]
        behind = [name for name in READERS if Version(saved[name]) > Version(READERS[name])]
    except (PresetError, KeyError, TypeError, InvalidVersion):
        return ""
    if not behind:
        return ""
    versions = ", ".join(f"{name} {saved[name]} (here: {READERS[name]})" for name in behind)
    return f"It was saved with {versions}: upgrade with `pip install -U {' '.join(behind)}`, and try again."


def verify(directory):
    """Raises `PresetError` unless the preset has exactly the files it lists, unchanged, and harmless configs."""
    directory = Path(directory)
    listed = _read_checksums(directory)
    _compare_names(directory, set(listed), set(_list_files(directory)) - {CHECKSUMS})
    for path, expected in listed.items():
        _compare_file(directory, path, expected)
    for path in listed:
        if path.endswith(".json") and path not in NOT_CONFIGS:
            _check_config(read_json(directory, path), f"{path} of {directory}")


def verify_keras_file(path):
    """Raises `PresetError` unless the config of a `.keras` file is one of harmless classes."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
            config = json.loads(file.read(LONGEST_CONFIG).decode("utf-8"))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise PresetError(f"{str(path)!r} is not a .keras file: {error}") from None
    _check_config(config, f"The config of {path}")


def read_json(directory, path):
    """What a JSON file of the preset holds."""
    try:
        return json.loads((Path(directory) / path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PresetError(f"The preset {directory} has no {path}.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise PresetError(f"{path} of the preset {directory} is not JSON: {error}") from None


def _read_checksums(directory):
    if not directory.is_dir():
        raise PresetError(f"A preset is a directory. Received: {str(directory)!r}")
    files = read_json(directory, CHECKSUMS)
    files = files.get("files") if isinstance(files, dict) else None
    if not isinstance(files, dict) or not all(isinstance(file, dict) for file in files.values()):
        raise PresetError(f"{CHECKSUMS} of {directory} must be {{'files': {{path: {{'sha256', 'bytes'}}}}}}.")
    for path in files:
        _check_path(path, directory)
    return files


def _check_path(path, directory):
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        raise PresetError(f"{CHECKSUMS} of {directory} lists {path!r}, which is not a plain path inside the preset.")


def _list_files(directory):
    """Paths of all files, with `/` between the parts; links are refused, for they can lead out of the preset."""
    paths = []
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise PresetError(f"The preset {directory} holds the link {name!r}; it may hold plain files only.")
        paths += [(Path(folder) / name).relative_to(directory).as_posix() for name in files]
    return sorted(paths)


def _compare_names(directory, listed, present):
    missing, extra = sorted(listed - present), sorted(present - listed)
    if missing or extra:
        raise PresetError(
            f"The preset {directory} must hold the files that {CHECKSUMS} lists. Missing: {missing}. Extra: {extra}."
        )


def _compare_file(directory, path, expected):
    found = _describe(directory / path)
    if found != expected:
        raise PresetError(
            f"{path} of the preset {directory} is damaged or was changed. "
            f"Expected: {expected.get('bytes')} bytes, SHA-256 {expected.get('sha256')}. "
            f"Found: {found['bytes']} bytes, SHA-256 {found['sha256']}."
        )


def _describe(file):
    content = file.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _check_config(node, where):
    """Walks a config; what is refused is refused wherever it stands."""
    if isinstance(node, dict):
        if "class_name" in node and node["class_name"] not in DATA:
            _check_class(node, where)
        _check_files(node, where)
        for value in node.values():
            _check_config(value, where)
    elif isinstance(node, list):
        for value in node:
            _check_config(value, where)


def _check_files(node, where):
    """Refuses what would make a tokenizer read a file outside the preset."""
    name = node.get("config_file")
    # KerasHub joins this name to the preset's path.
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"\w+\.json", name)):
        raise PresetError(f"{where} has config_file={name!r}, which is not a plain file name.")
    # A text among these is a path to KerasHub's tokenizers.
    for part in ("vocabulary", "merges", "proto"):
        if node.get(part) is not None:
            raise PresetError(f"{where} has {part}; it belongs into assets/. Received: {str(node[part])[:80]!r}")


def _check_class(node, where):
    name, module, registered = (node.get(key) for key in ("class_name", "module", "registered_name"))
    named = f"{where} names class_name={name!r}, module={module!r}, registered_name={registered!r}"
    # A name with dots Keras would look up in parts: keras and layers.Lambda.
    if not isinstance(name, str) or name.startswith("__") or "." in name or name in CARRY_CODE:
        raise PresetError(f"{named}: lambdas and layers that carry code are refused.")
    if not isinstance(registered, (str, type(None))) or not isinstance(module, (str, type(None))):
        raise PresetError(f"{named}: names are texts.")
    packages = set()
    if registered is not None and ">" in registered:
        packages.add(registered.split(">")[0])
    if module is not None and not (name == "function" and module == "builtins"):
        packages.add(str(module).split(".")[0])
    if not packages.issubset(PACKAGES) or (not packages and module is None):
        raise PresetError(f"{named}: only classes of {', '.join(PACKAGES)} are built.")
