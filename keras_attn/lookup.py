"""Checking what was asked for, with errors that help."""

import difflib
import math
import numbers

from keras import ops


def choose(what, name, table):
    """`name` if the table has it.

    Raises:
        ValueError: if not; it says what was asked for, which names are near and which there are.
    """
    if isinstance(name, str) and name in table:
        return name
    near = difflib.get_close_matches(str(name), table, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
    known = ", ".join(sorted(table)) or "none"
    raise ValueError(f"Unknown {what} {name!r}.{hint} Known: {known}.")


def read_spec(what, spec, table, options):
    """The name in a spec, a name or `{what: name, **options}`, and its options, a dict.

    Args:
        what: what it is a spec of, which is the name's key.
        spec: as it was given.
        table: the names that are known.
        options: a function from a name to the options that it may have.

    Raises:
        ValueError: for another form, or a name or an option that is not known; near ones are shown.

    Example:
    >>> read_spec("fruit", {"fruit": "apple", "size": 3}, ["apple"], lambda name: ["size"])
    ('apple', {'size': 3})
    """
    given = dict(spec) if isinstance(spec, dict) else {what: spec}
    if what not in given:
        raise ValueError(f'`{what}` is a name or a dictionary {{"{what}": name, **options}}. Received: {spec!r}')
    name = choose(what, given.pop(what), table)
    for option in given:
        choose(f"option of {name!r}", option, options(name))
    return name, given


def whole_number(name, value, least=1, optional=False):
    """`value` if it is an integer of at least `least`, or None where that is allowed.

    Raises:
        ValueError: if not; it says what would be right and what came.
    """
    if value is None and optional:
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least:
        # NumPy's would not go into JSON.
        return int(value)
    right = f"an integer of at least {least}" + (" or None" if optional else "")
    raise ValueError(f"Invalid argument `{name}`: it must be {right}. Received: {name}={value!r}")


def number(name, value, low=-math.inf, high=math.inf, ends="()", optional=False, names=()):
    """`value` if it is a finite number between two bounds, or None where that is allowed.

    Args:
        name, value: an argument's.
        low, high: the bounds.
        ends: whether they count, as intervals are written: "()", "[)", "(]" or "[]".
        optional: whether None is right too.
        names: what else is right, to be said in the error.

    Raises:
        ValueError: if not; it says what would be right and what came.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if real and not isinstance(value, (int, float)):
        value = float(value)
    inside = real and (low < value or (ends[0] == "[" and value == low))
    if (value is None and optional) or (inside and (value < high or (ends[1] == "]" and value == high))):
        return value
    right = "a number"
    if high < math.inf:
        right += f" in {ends[0]}{low:g}, {high:g}{ends[1]}"
    elif low > -math.inf:
        right += f" above {low:g}" if ends[0] == "(" else f" of at least {low:g}"
    right = " or ".join([right, *map(repr, names), *(["None"] if optional else [])])
    raise ValueError(f"Invalid argument `{name}`: it must be {right}. Received: {name}={value!r}")


def flag(name, value):
    """`value` if it is True or False.

    Raises:
        ValueError: if not: `"no"` would count as True.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(f"Invalid argument `{name}`: it must be True or False. Received: {name}={value!r}")


def known_values(x):
    """A tensor's values as an array, or None where they are not known yet: in code that is being compiled."""
    try:
        return ops.convert_to_numpy(x)
    except Exception:  # Each backend has an error of its own.
        return None


def plain(data):
    """Specs as they were given: Keras wraps the lists and dictionaries that are set as attributes of a layer."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    return data
