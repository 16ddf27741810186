from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tellapart.data import ImageTable
from tellapart.errors import StorageError
from tellapart.training import Recipe
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.loop.examples import Batch
from tellapart.training.pixels import HeldPixels, TrainingPixels, decode
from tellapart.training.tails.activations import (
    HeldActivations,
    VariedActivations,
    affordable_views,
    epoch_of_views,
    middle,
    room,
)
from tellapart.training.tails.stems import Stem
from tellapart.training.tails.tuning import wider
from tellapart.training.trainer import Fitted

SIZE = 8


@pytest.fixture(scope="module")
def stem(weights: Mapping[str, np.ndarray], fitted: Fitted) -> Stem:
    return Stem(weights, side_px=fitted.backbone.fit.side_px, boundary=5)


@pytest.fixture(scope="module")
def pixels(fitted: Fitted, recipe: Recipe) -> TrainingPixels:
    decoded = decode(fitted.table, wider(fitted.backbone.fit), fitted.table.classes, n_channels=3)
    return TrainingPixels(decoded, recipe, augmenter(recipe))


def varied(pixels: TrainingPixels, stem: Stem, fitted: Fitted, n_views: int | None = None) -> VariedActivations:
    return VariedActivations(pixels, stem, side_px=fitted.backbone.fit.side_px, n_views=n_views)


def sums(batches: list[Batch]) -> list[float]:
    """A number that tells each view, in order of size: passes of the same views have the same."""
    return sorted(torch.cat([batch.inputs.double().sum((1, 2, 3)) for batch in batches]).tolist())


def test_every_pass_has_new_views_and_the_same_ones_again_when_asked_again(
    pixels: TrainingPixels, stem: Stem, fitted: Fitted
) -> None:
    examples = varied(pixels, stem, fitted)
    first, again, second = (list(examples.batches(epoch, SIZE)) for epoch in (0, 0, 1))
    assert sum(len(batch.inputs) for batch in first) == examples.n == len(fitted.table)
    assert first[0].inputs.shape == (SIZE, 112, 6, 6)
    assert first[0].inputs.dtype == torch.float16
    assert all(torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) for a, b in zip(first, again, strict=True))
    assert sums(first) != sums(second)


def test_a_pass_begun_later_goes_on_with_the_same_batches(pixels: TrainingPixels, stem: Stem, fitted: Fitted) -> None:
    whole = list(varied(pixels, stem, fitted).batches(1, SIZE))
    rest = list(varied(pixels, stem, fitted).batches(1, SIZE, first=2))
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(whole[2:], rest, strict=True))


def test_kept_views_come_again_in_another_order(pixels: TrainingPixels, stem: Stem, fitted: Fitted) -> None:
    examples = varied(pixels, stem, fitted, n_views=2)
    passes = [list(examples.batches(epoch, SIZE)) for epoch in range(4)]
    assert sums(passes[0]) == sums(passes[2])
    assert len({tuple(sums(passes[epoch])) for epoch in (0, 1, 3)}) == 3
    assert not torch.equal(passes[0][0].inputs, passes[2][0].inputs)
    label_of = {float(one.double().sum()): int(label) for batch in passes[0] for one, label in zip(*batch[:2], strict=True)}
    for batch in passes[2]:
        assert [label_of[float(one.double().sum())] for one in batch.inputs] == batch.targets.tolist()


def test_every_second_later_pass_has_new_views_and_the_others_recent_ones() -> None:
    assert [epoch_of_views(epoch, 3) for epoch in range(10)] == [0, 1, 2, 0, 4, 2, 6, 6, 8, 4]
    for n_views in (1, 2, 8):
        for epoch in range(100):
            seen = epoch_of_views(epoch, n_views)
            assert seen == epoch_of_views(seen, n_views), "what is looked at again was once new"
            n_since = sum(epoch_of_views(between, n_views) == between for between in range(seen, epoch))
            assert n_since <= n_views, "and is still kept"


@pytest.mark.parametrize("first", [0, 2])
def test_after_a_resume_kept_views_are_computed_again(pixels: TrainingPixels, stem: Stem, fitted: Fitted, first: int) -> None:
    """A process that begins in the middle of the third pass sees what one sees that went all the way."""
    whole = varied(pixels, stem, fitted, n_views=2)
    passes = [list(whole.batches(epoch, SIZE)) for epoch in range(3)]
    resumed = varied(pixels, stem, fitted, n_views=2)
    found = list(resumed.batches(2, SIZE, first=first))
    assert len(found) == len(passes[2]) - first
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(passes[2][first:], found, strict=True))


def test_views_that_were_begun_in_the_middle_are_completed(pixels: TrainingPixels, stem: Stem, fitted: Fitted) -> None:
    whole, resumed = varied(pixels, stem, fitted, n_views=1), varied(pixels, stem, fitted, n_views=1)
    for examples, first in ((whole, 0), (resumed, 3)):
        assert list(examples.batches(0, SIZE, first=first))
    again = [list(examples.batches(1, SIZE)) for examples in (whole, resumed)]
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(*again, strict=True))


def test_held_back_pictures_come_in_order_as_they_are(fitted: Fitted, table: ImageTable, stem: Stem) -> None:
    held = decode(table.in_split("valid"), fitted.backbone.fit, table.classes, n_channels=3)
    examples = HeldActivations(HeldPixels(held), stem, size=4)
    batches = list(examples.batches(0, 4))
    assert examples.n == len(held.table)
    assert torch.equal(torch.cat([batch.targets for batch in batches]), held.labels)
    assert torch.equal(torch.cat([batch.inputs for batch in batches])[:4], stem(held.pixels[:4]))
    shares = [torch.cat([batch.targets for batch in examples.batches(0, 4, share=(rank, 2))]) for rank in (0, 1)]
    assert sum(map(len, shares)) == examples.n


def test_the_middle_is_cut_out() -> None:
    pictures = torch.arange(36).reshape(1, 1, 6, 6)
    assert middle(pictures, 4)[0, 0].tolist() == [[7, 8, 9, 10], [13, 14, 15, 16], [19, 20, 21, 22], [25, 26, 27, 28]]
    assert middle(pictures, 6) is not None
    assert middle(pictures, 6).shape == (1, 1, 6, 6)


def test_views_are_as_many_as_there_is_room_for() -> None:
    assert affordable_views(8, n=100, view_bytes=44_000) == 8
    assert affordable_views(8, n=10**9, view_bytes=44_000) == 1


def test_no_room_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("TELLAPART_CACHE", str(blocked))
    with pytest.raises(StorageError, match=r"0\.0 GB of activations cannot be kept in .*Make room there"):
        room((2, 3, 4, 4))
