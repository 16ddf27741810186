from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import torch

from tellapart.data import ImageTable
from tellapart.errors import DataError
from tellapart.images import Fit
from tellapart.sources import read
from tellapart.training import Recipe, pixels
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.loop.examples import Batch
from tellapart.training.pixels import Decoded, HeldPixels, TrainingPixels, decode, picture_weights

SIDE_PX = 12
FIT = Fit(SIDE_PX, "crop", 1.0)
N_OF = {"dark": 5, "light": 15}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 grey pictures, each of its own level, so that a batch tells which rows it holds."""
    root = tmp_path_factory.mktemp("levels")
    for label, n in N_OF.items():
        (root / label).mkdir()
        for i in range(n):
            level = i + (1 if label == "dark" else 101)
            Image.new("L", (SIDE_PX, SIDE_PX), level).save(root / label / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def table(folder: Path) -> ImageTable:
    return read(folder)


@pytest.fixture(scope="module")
def decoded(table: ImageTable) -> Decoded:
    return decode(table, FIT, table.classes)


def examples(decoded: Decoded, **choices: object) -> TrainingPixels:
    recipe = Recipe.from_json({"augment": "none", **choices})
    return TrainingPixels(decoded, recipe, augmenter(recipe), picture_weights(decoded.table, recipe.balance))


def levels_of(batches: list[Batch]) -> list[int]:
    return [int(picture[0, 0, 0]) for batch in batches for picture in batch.inputs]


def test_other_channels_are_all_kept_and_pictures_without_them_left_out(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (6, SIDE_PX, SIDE_PX, 5), np.uint8)
    np.savez(tmp_path / "bands.npz", x=bands, y=list("aabbab"))
    table = read(tmp_path / "bands.npz")
    found = decode(table, replace(FIT, n_channels=5), table.classes)
    assert (found.pixels.permute(0, 2, 3, 1).numpy() == bands).all()
    assert [len(one) for one in found.channel_statistics()] == [5, 5]
    with pytest.raises(DataError, match=r"none of the 6 files can be read as a picture: has 5 channels, where 3 \(red"):
        decode(table, FIT, table.classes)


def test_grey_pictures_have_one_channel_unless_three_are_asked_for(table: ImageTable, decoded: Decoded) -> None:
    assert decoded.pixels.shape == (20, 1, SIDE_PX, SIDE_PX)
    assert decode(table, FIT, table.classes, n_channels=3).pixels.shape == (20, 3, SIDE_PX, SIDE_PX)
    assert decoded.labels.tolist() == table.codes.tolist()


def test_one_coloured_picture_makes_all_coloured(folder: Path, tmp_path: Path, table: ImageTable) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (SIDE_PX, SIDE_PX), (200, 0, 0)).save(path)
    mixed = replace(table, paths=(*table.paths[:-1], str(path)))
    assert decode(mixed, FIT, table.classes).pixels.shape[1] == 3


def test_a_picture_that_broke_is_left_out_with_its_reason(table: ImageTable, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    found = decode(replace(table, paths=(str(path), *table.paths[1:])), FIT, table.classes)
    assert len(found.pixels) == len(found.table) == len(found.labels) == 19
    assert [skip.path for skip in found.table.skipped] == [str(path)]


def test_nothing_readable_is_an_error(table: ImageTable) -> None:
    gone = replace(table, paths=tuple(f"{path}-gone" for path in table.paths))
    with pytest.raises(DataError, match="none of the 20 files can be read as a picture"):
        decode(gone, FIT, table.classes)


def test_many_pixels_lie_in_a_mapped_file(table: ImageTable, decoded: Decoded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "HELD_BYTES", 100)
    assert decode(table, FIT, table.classes).pixels.equal(decoded.pixels)


def test_a_pass_shows_each_picture_once_in_an_order_of_its_own(decoded: Decoded) -> None:
    one = examples(decoded)
    first, second = (levels_of(list(one.batches(epoch, 8))) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == sorted(decoded.pixels[:, 0, 0, 0].tolist())
    assert first != second
    assert first == levels_of(list(one.batches(0, 8)))


def test_a_batch_depends_on_its_number_alone(decoded: Decoded) -> None:
    one = examples(decoded, augment="default", mixup=0.4)
    whole, rest = list(one.batches(2, 6)), list(one.batches(2, 6, first=2))
    assert len(rest) == len(whole) - 2
    for a, b in zip(whole[2:], rest, strict=True):
        assert a.inputs.equal(b.inputs)
        assert a.targets.equal(b.targets)


def test_processes_share_a_batch_without_counting_any_twice(decoded: Decoded) -> None:
    for one in (examples(decoded), HeldPixels(decoded)):
        parts = [levels_of(list(one.batches(0, 6, share=(rank, 2)))) for rank in (0, 1)]
        assert sorted(parts[0] + parts[1]) == sorted(levels_of(list(one.batches(0, 6))))


@pytest.mark.parametrize("more", [{"augment": "default"}, {"augment": "strong", "erasing": 0.5}, {"mixup": 0.4, "cutmix": 1.0}])
def test_processes_vary_a_batch_as_one_does(decoded: Decoded, more: dict[str, Any]) -> None:
    one = examples(decoded, **more)
    parts = [list(one.batches(1, 6, share=(rank, 2))) for rank in (0, 1)]
    for number, whole in enumerate(one.batches(1, 6)):
        for rank in (0, 1):
            assert parts[rank][number].inputs.equal(whole.inputs[rank::2])
            assert parts[rank][number].targets.equal(whole.targets[rank::2])


def test_held_back_pictures_come_in_order_and_whole(decoded: Decoded) -> None:
    batches = list(HeldPixels(decoded).batches(3, 8, first=1))
    assert [len(batch.inputs) for batch in batches] == [8, 4]
    assert torch.cat([batch.inputs for batch in batches]).equal(decoded.pixels[8:])


def test_balanced_sampling_draws_each_class_as_often(decoded: Decoded) -> None:
    one = examples(decoded, sampling="balanced")
    labels = torch.cat([batch.targets for epoch in range(50) for batch in one.batches(epoch, 20)])
    assert (labels == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_mixed_pictures_have_mixed_labels(decoded: Decoded) -> None:
    batch = next(examples(decoded, cutmix=1.0).batches(0, 20))
    assert batch.targets.shape == (20, 2)
    assert batch.targets.sum(1).tolist() == pytest.approx([1.0] * 20)


def test_rare_classes_weigh_more_when_balanced(decoded: Decoded) -> None:
    assert picture_weights(decoded.table, 0.0) is None
    weights = picture_weights(decoded.table, 1.0)
    assert weights is not None
    assert weights.mean().item() == pytest.approx(1.0)
    assert (weights[decoded.labels == 0][0] / weights[decoded.labels == 1][0]).item() == pytest.approx(3.0)
    doubled = replace(decoded.table, weights=(2.0, *decoded.table.weights[1:]))
    of_each = picture_weights(doubled, 0.0)
    assert of_each is not None
    assert np.isclose(of_each[0] / of_each[1], 2.0)


def test_a_sample_keeps_pictures_and_labels_together(decoded: Decoded) -> None:
    part = decoded.sampled(7)
    assert len(part.pixels) == len(part.table) == 7
    assert part.pixels[:, 0, 0, 0].tolist() == decoded.pixels[::3, 0, 0, 0].tolist()
    assert part.labels.tolist() == decoded.labels[::3].tolist()
