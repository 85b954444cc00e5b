"""Picking from a table by name, with an error that helps."""

import difflib


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
