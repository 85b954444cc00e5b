"""What the documents say holds."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import keras
import pytest

import keras_attn
import tuning

ROOT = Path(__file__).parents[1]
MODULES = [
    module.name
    for package in (keras_attn, tuning)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"keras": keras}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_layer_says_what_it_takes_what_it_returns_and_where_it_comes_from():
    for mixer_class in {mixer_class for mixer_class, _ in keras_attn.mixers.MIXERS.values()}:
        text = inspect.getdoc(mixer_class)
        for part in ("Call arguments:", "Returns:", "Example:"):
            assert part in text, (mixer_class, part)
        assert "Reference:" in text or mixer_class is keras_attn.Identity
        for option in keras_attn.mixers.options(mixer_class):
            assert re.search(rf"\b{option}\b", text.split("Call arguments:")[0]), (mixer_class, option)


def test_the_readme_s_test_command_is_the_one_that_ci_runs():
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert ".venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest\n" in readme
    assert "\npip install -q -e '.[test]'\n" in script and "\npytest\n" in script


def test_the_table_of_what_each_mixer_can_do_is_true():
    page = (ROOT / "docs" / "layers.md").read_text()
    for name in keras_attn.mixers.MIXERS:
        mixer = keras_attn.mixers.get(name)
        can = (mixer.can_be_causal, mixer.can_step, not mixer.fixed_length, mixer.can_read)
        row = f"| `{name}` | `{type(mixer).__name__}` | {' | '.join('yes' if each else '-' for each in can)} |"
        assert row in page, row


def test_the_page_of_models_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "models.md").read_text(), re.DOTALL):
        exec(code, found)
    assert len(found["translations"]) == len(found["caption"]) == len(found["heard"]) == 1
    assert found["logits"].shape == (1, 2)
    assert found["forecast"].shape == (1, 6, 1)


def test_the_task_of_one_s_own_is_searched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "searching.md").read_text(), re.DOTALL)
    found = {}
    exec(code, found)
    assert {family.name for family in found["result"].finished} >= {"multi_head", "gru"}


def test_files_named_in_documents_exist():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(
            r"`((?:keras_attn|zoo|tuning|tests|docs|examples|benchmarks)/[\w/.]+)`", document.read_text()
        ):
            assert (ROOT / name).exists(), (document.name, name)
        for name in re.findall(r"\]\((?!http)([\w/.-]+)\)", document.read_text()):
            assert (document.parent / name).exists(), (document.name, name)
