"""Evidence made by hand: grey noise pictures, each a content of its own, unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tellapart.checks import Evidence
from tellapart.checks.copies import CopyPair
from tellapart.data import ImageTable
from tellapart.data.table import Skipped
from tellapart.images import GLANCE

SIDE_PX = GLANCE["thumbnail"].shape[0]
MakeEvidence = Callable[..., Evidence]


def digest(i: int) -> str:
    return f"{i:08x}" * 8  # groups are named after the first digits


@pytest.fixture
def make_evidence() -> MakeEvidence:
    """`make_evidence(labels, contents=..., splits=..., pairs=..., <glance field>=...)`."""

    def make(
        labels: Sequence[str],
        *,
        contents: Sequence[int] | None = None,
        paths: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        pairs: Sequence[tuple[int, int, float]] = (),
        folds: np.ndarray | None = None,
        fold_numbers: np.ndarray | None = None,
        held_out: np.ndarray | None = None,
        features: np.ndarray | None = None,
        skipped: tuple[Skipped, ...] = (),
        **glance_fields: object,
    ) -> Evidence:
        n = len(labels)
        digests = [digest(i) for i in (contents if contents is not None else range(n))]
        table = ImageTable(
            tuple(paths or (f"{label}/{i}.jpg" for i, label in enumerate(labels))),
            tuple(digests),
            tuple(labels),
            tuple(groups or ("",) * n),
            tuple(splits or ("",) * n),
            ("test",) * n,
            skipped=skipped,
        )
        rng = np.random.default_rng(0)
        glances = np.zeros(n, GLANCE)
        glances["width"], glances["height"], glances["n_bytes"] = 300, 200, 10_000
        glances["format"], glances["mode"], glances["sharpness"] = b"JPEG", b"RGB", 1000.0
        glances["thumbnail"] = rng.integers(40, 216, (n, SIDE_PX, SIDE_PX, 1))
        for name, values in glance_fields.items():
            glances[name] = values
        some = rng.normal(size=(n, 8)).astype(np.float16) if features is None else features
        copies = tuple(
            CopyPair(first, second, "exact" if digests[first] == digests[second] else "near", score)
            for first, second, score in pairs
        )
        return Evidence(table, glances, some, some.shape[1], copies, folds, held_out, fold_numbers)

    return make
