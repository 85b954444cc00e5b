"""From the files of a public source to a file of the form that the loaders read.

Each takes the bytes of the sources, in their order, and returns what stands in the file, before it is compressed.
"""

import gzip
import io
import tarfile


def unchanged(content):
    """The file as it is published."""
    return content


def unzipped(content):
    """The file as it is published, where that is gzipped."""
    return gzip.decompress(content)


def words(content):
    """CoNLL-U as lines of form, UPOS, XPOS, head and relation.

    What is said about a sentence, words that are written as one (`1-2`) and words that are not written (`1.1`) are left
    out.

    Example:
    >>> words(b"# text = I'm\\n1-2\\tI'm\\t_\\n1\\tI\\tI\\tPRON\\tPRP\\t_\\t0\\troot\\t_\\t_\\n")
    b'I\\tPRON\\tPRP\\t0\\troot\\n'
    """
    lines = []
    for line in content.decode().removesuffix("\n").split("\n"):
        fields = line.split("\t")
        if not line:
            lines.append("")
        elif fields[0].isdecimal():
            lines.append("\t".join(fields[place] for place in (1, 3, 4, 6, 7)))
    return _text(_without_blanks_at_ends(lines))


def lines(content):
    """The lines that are not blank."""
    return _text(_lines(content))


def lines_without(content, other):
    """The lines that are not blank and not among those of another file."""
    left_out = set(_lines(other))
    return _text(line for line in _lines(content) if line not in left_out)


def phrases(content, *others):
    r"""Rows of label and phrase as lines `<label> <phrase>`, without phrases that are sentences of the other files.

    Example:
    >>> phrases(b"label\tsentence\r\n1\ta joy\r\n0\tdull .\r\n", b"0 dull .\n")
    b'1 a joy\n'
    """
    known = {line.partition(" ")[2] for other in others for line in _lines(other)}
    rows = [line.rstrip("\r").split("\t") for line in _lines(content)[1:]]
    return _text(f"{label} {phrase}" for label, phrase in rows if phrase not in known)


def archive(names):
    """A function that puts files into a tar of these names, in their order, with nothing else said about them."""

    def pack(*contents):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in zip(names, contents, strict=True):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return file.getvalue()

    return pack


def _lines(content):
    return [line for line in content.decode().split("\n") if line.strip()]


def _without_blanks_at_ends(lines):
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _text(lines):
    return "".join(f"{line}\n" for line in lines).encode()
