"""Tables of pictures without files; each picture has a content of its own unless it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest

from tellapart.data import ImageTable

MakeTable = Callable[..., ImageTable]


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
