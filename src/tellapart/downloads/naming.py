"""Folders for classes: a name that every file system takes, and that stays inside the folder it is put into."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

UNNAMED = "unlabelled"
MAX_NAME_BYTES = 100  # of 255 that file systems take: encrypted ones take 143
# Windows' devices; the names that mean "not a class" when a folder is read.
RESERVED = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?|__macosx|__pycache__|@eadir|lost\+found|thumbs\.db|desktop\.ini"
    r"|ehthumbs\.db|system volume information|\$recycle\.bin",
    re.IGNORECASE,
)
UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")  # Unicode's categories of controls, formats, halves, unassigned, line ends
JOINERS = "\u200c\u200d"  # formats that Persian, Indic and emoji spelling needs
UNSAFE = re.compile(r'[/\\:*?"<>|#]')  # '#' parts a container from its member in the paths of tables


def class_folders(labels: Iterable[str]) -> dict[str, str]:
    """A folder name for each label, all different also where upper and lower case are one."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for label in dict.fromkeys(labels):
        name = _folder(label)
        if name.casefold() in taken:
            name = f"{name}-{_digest(label)}"
        taken.add(name.casefold())
        folders[label] = name
    return folders


def _folder(label: str) -> str:
    text = unicodedata.normalize("NFC", label)
    text = "".join("_" if unicodedata.category(char) in UNSEEN and char not in JOINERS else char for char in text)
    text = UNSAFE.sub("_", text).strip().rstrip(". ")
    if text.startswith("."):
        text = "_" + text[1:]
    if RESERVED.fullmatch(text):
        text = f"{text}_"
    if len(text.encode()) > MAX_NAME_BYTES:
        text = f"{text.encode()[: MAX_NAME_BYTES - 9].decode(errors='ignore').rstrip('. ')}-{_digest(label)}"
    return text or UNNAMED


def _digest(label: str) -> str:
    return hashlib.sha256(label.encode(errors="backslashreplace")).hexdigest()[:8]
