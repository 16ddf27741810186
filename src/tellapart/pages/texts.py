"""Text from outside, made fit to be shown."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath

INVISIBLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories: controls, surrogates, line and paragraph separators
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # marks that turn the direction of writing


def shown(text: str) -> str:
    """Text from outside on one line: a newline becomes ↵, and what is invisible or could disguise a name becomes �."""
    return "".join(_visible(char) for char in text)


def filename(path: str) -> str:
    """The last part of a path; the path itself where it has none."""
    return PurePath(path).name or path


def _visible(char: str) -> str:
    if char == "\n":
        return "↵"
    return "�" if unicodedata.category(char) in INVISIBLE or unicodedata.bidirectional(char) in TURNING else char
