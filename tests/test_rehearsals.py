from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tellapart.data import split
from tellapart.errors import CallError
from tellapart.images.samples import Sample
from tellapart.rehearsals import compare_backbones, write_preview
from tellapart.runs.choices import Choices
from tellapart.sources import read
from tellapart.training import Recipe

SMALL = Recipe(size=96)


def test_backbones_are_compared_on_the_training_pictures(clean_sample: Sample) -> None:
    found = compare_backbones(clean_sample.root, Recipe("efficientnet_lite0, ", size=96), Choices())
    assert found.best.arch == "efficientnet_lite0"
    assert found.best.n == len(split(read(clean_sample.root)).in_split("train"))


def test_a_preview_holds_pictures_and_their_views(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    path = write_preview(clean_sample.root, SMALL, Choices(), None)
    assert path == Path("runs") / f"preview-{clean_sample.root.resolve().stem}.png"
    with Image.open(path) as image:
        assert image.width > image.height > 6 * 90
    again = write_preview(clean_sample.root, SMALL, Choices(), None)
    assert again == path
    other = write_preview(clean_sample.root, Recipe(size=96, augment="none"), Choices(), tmp_path / "plain.png")
    assert other.read_bytes() != path.read_bytes()
    with pytest.raises(CallError, match="is there already; nothing is overwritten"):
        write_preview(clean_sample.root, SMALL, Choices(), tmp_path / "plain.png")
    with pytest.raises(CallError, match=r"must end in \.png"):
        write_preview(clean_sample.root, SMALL, Choices(), tmp_path / "plain.jpg")
