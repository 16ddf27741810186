"""Tables and folders of tiny pictures; each picture has a content of its own unless it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tellapart.data import ImageTable

MakeFiles = Callable[[Path, Iterable[str]], None]
MakeTable = Callable[..., ImageTable]


def png(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256 % 256, number // 65536)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def make_files() -> MakeFiles:
    """make_files(root, ["cat/1.png", ...]): pictures below `root`, no two alike."""

    def make(root: Path, names: Iterable[str]) -> None:
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))

    return make


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    """make_table({"cat": 3}): a table without files; `contents` gives rows of one number one content."""

    def make(
        counts: dict[str, int],
        *,
        contents: Sequence[object] | None = None,
        groups: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
    ) -> ImageTable:
        labels = tuple(label for label, n_rows in counts.items() for _ in range(n_rows))
        rows = range(len(labels))
        return ImageTable(
            paths=tuple(f"{label}/{row}.jpg" for row, label in zip(rows, labels, strict=True)),
            sha256=tuple(hashlib.sha256(str(one).encode()).hexdigest() for one in contents or rows),
            labels=labels,
            groups=tuple(groups or [""] * len(labels)),
            splits=tuple(splits or [""] * len(labels)),
            sources=("list",) * len(labels),
        )

    return make
