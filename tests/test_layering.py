"""Who may import whom: parts <- mixer <- mechanisms <- table <- models <- searches."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "keras_attn": {"zoo", "tuning", "keras_hub", "keras_tuner", "tensorflow", "jax", "torch"},
    "zoo": {"tuning", "keras_tuner"},
    "tuning": set(),
}
# Within keras_attn: what each floor must not know of.
ABOVE_PARTS = {"mixer", "pairwise", "explicit", "memory", "implicit", "mixers", "adaptive", "universal", "inspection"}
FLOORS = {
    "scores": ABOVE_PARTS,
    "normalizers": ABOVE_PARTS,
    "masks": ABOVE_PARTS,
    "_scan": ABOVE_PARTS,
    "noise": ABOVE_PARTS,
    "positions": ABOVE_PARTS,
    "patterns": ABOVE_PARTS,
    "sight": ABOVE_PARTS,
    "attend": ABOVE_PARTS,
    "regularizers": ABOVE_PARTS,
    "mixer": ABOVE_PARTS - {"mixer"},
    "pairwise": ABOVE_PARTS - {"mixer", "pairwise"},
    "cached": ABOVE_PARTS - {"mixer"},
    "explicit": {"memory", "implicit", "mixers"},
    "memory": {"implicit", "mixers"},
    "implicit": {"explicit", "memory", "mixers"},
    "mixers": {"adaptive", "universal"},
    "adaptive": {"universal"},
    # Of any Keras model, so it knows none of our layers.
    "inspection": ABOVE_PARTS - {"inspection"},
}


def imported(path):
    """Dotted names of all that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_nothing_from_above(package):
    for path in (ROOT / package).rglob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & FORBIDDEN[package] or path.name == "_autodiff.py", path


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_nothing_from_above(floor):
    place = ROOT / "keras_attn" / floor
    for path in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        parts = {name.split(".")[1] for name in imported(path) if name.startswith("keras_attn.")}
        assert not parts & FLOORS[floor], path


def test_keras_tuner_stays_in_tuning_and_layers_cost_no_more_than_keras():
    code = "import sys, keras_attn; assert not {'keras_hub', 'keras_tuner', 'zoo', 'tuning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
