from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tellapart.images import GLANCE
from tellapart.images.decoding import open_described
from tellapart.images.glances import glance
from tellapart.images.glimpses import GLIMPSE, glimpses
from tellapart.images.samples import Sample
from tellapart.inference import glances
from tellapart.inference.glances import scan, skim
from tellapart.sources import read
from tellapart.training import Recipe, embed_table


def test_glances_are_aligned_with_the_table_and_copies_share_one(sample: Sample, tmp_path: Path) -> None:
    table = read(sample.root)
    seen = scan(table, cache_folder=tmp_path)
    readable = table.without(seen.failures)
    rows = seen.of(readable)
    assert rows.dtype == GLANCE
    assert len(rows) == len(readable) == len(table) - sum(digest in seen.failures for digest in table.sha256)
    assert len(seen.rows) == len(set(table.sha256)) < len(table)
    for row in (0, 7, len(readable) - 1):
        assert rows[row] == glance(open_described(readable.paths[row], min_side_px=256))


def test_unreadable_pictures_are_failures_with_a_reason(sample: Sample, tmp_path: Path) -> None:
    seen = scan(read(sample.root), cache_folder=tmp_path)
    assert seen.failures
    assert all(
        reason.startswith(("cannot be decoded", "not a picture", "the file is empty")) for reason in seen.failures.values()
    )
    assert not set(seen.failures) & set(seen.row_of)


def test_what_cannot_be_read_is_looked_at_again_beside_a_full_cache(sample: Sample, tmp_path: Path) -> None:
    table = read(sample.root)
    assert skim(table, cache_folder=tmp_path).failures == skim(table, cache_folder=tmp_path).failures != {}


def test_what_is_cached_is_not_opened_again(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(clean_sample.root)
    first = scan(table, cache_folder=tmp_path)
    monkeypatch.setattr(glances, "open_described", None)
    assert np.array_equal(scan(table, cache_folder=tmp_path).of(table), first.of(table))


def test_the_embedding_leaves_glances_behind(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path))
    table = read(clean_sample.root)
    embed_table(table, Recipe(size=64))
    monkeypatch.setattr(glances, "open_described", None)
    assert (scan(table).of(table)["width"] > 0).all()


def test_glimpses_are_kept_too(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(sample.root)
    seen, looked = skim(table, cache_folder=tmp_path), scan(table, cache_folder=tmp_path)
    assert seen.failures == looked.failures != {}
    readable = table.without(seen.failures)
    rows = seen.of(readable)
    assert rows.dtype == GLIMPSE
    assert rows[7] == glimpses([readable.paths[7]])[0][0]
    for name in ("width", "height", "n_bytes", "format"):
        assert np.array_equal(rows[name], looked.of(readable)[name])
    monkeypatch.setattr(glances, "glimpses", None)
    assert np.array_equal(skim(readable, cache_folder=tmp_path).of(readable), rows)
