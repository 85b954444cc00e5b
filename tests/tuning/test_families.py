import pytest

from tuning import families


@pytest.mark.parametrize(
    ("spec", "name", "kind"),
    [
        ("gru", "gru", "implicit"),
        ("multi_head", "multi_head", "explicit"),
        ("identity", "identity", "control"),
        (["gru", "multi_head"], "gru+multi_head", "hybrid"),
        (["gru", "lstm"], "gru+lstm", "implicit"),
        (["gru", "identity"], "gru+identity", "implicit"),
        ({"mixer": "multi_head", "num_heads": 2}, "multi_head(num_heads=2)", "explicit"),
    ],
)
def test_a_spec_is_a_family_with_a_name_and_a_kind(spec, name, kind):
    family = families.make(spec)
    assert (family.name, family.kind) == (name, kind)


def test_a_command_line_names_mixers_hybrids_and_options():
    text = 'gru, multi_head,gru+multi_head,{"mixer": "multi_head", "num_heads": 2, "normalizer": "softmax"}+lstm'
    options = {"mixer": "multi_head", "num_heads": 2, "normalizer": "softmax"}
    assert families.parse(text) == ["gru", "multi_head", ["gru", "multi_head"], [options, "lstm"]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("grv", "Did you mean 'gru'"),
        ({"mixer": "multi_head", "num_head": 2}, "Did you mean 'num_heads'"),
        (["gru", "multihead"], "Did you mean 'multi_head'"),
        ([], "at least one mixer"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_near(spec, message):
    with pytest.raises(ValueError, match=message):
        families.make(spec)


def test_broken_options_are_refused_with_an_example():
    with pytest.raises(ValueError, match=r'is JSON, \{"mixer": "gru", "bidirectional": true\}'):
        families.parse("{mixer: gru}")


def test_a_mixer_takes_part_once():
    with pytest.raises(ValueError, match="Received twice: gru"):
        families.make_all(["gru", "lstm", "gru"])


def test_nobody_is_refused():
    with pytest.raises(ValueError, match="at least one mixer"):
        families.make_all([])
