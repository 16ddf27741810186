"""The data sets that Tellapart draws: the same bytes every time, counts that reconcile, faults that are what they say."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import CallError, PictureError, StorageError
from tellapart.images import open_picture
from tellapart.images.coins import METALS, draw_coin
from tellapart.images.samples import FAULTS, OFF_TOPIC, SAMPLES, Sample, draw_off_topic, draw_sample

N_PER_CLASS = 40
BROKEN = {"truncated", "empty", "text", "html"}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return draw_sample("shapes", tmp_path_factory.mktemp("shapes"), n_per_class=N_PER_CLASS, side_px=64)


def digests(root: Path) -> dict[str, str]:
    """The SHA-256 of every file under `root`, by its path there."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def planted_paths(sample: Sample, kind: str) -> list[Path]:
    return [sample.root / one.path for one in sample.planted if one.kind == kind]


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(kind: str, tmp_path: Path) -> None:
    draws = {name: tmp_path / name for name in ("first", "again", "other")}
    samples = [draw_sample(kind, out, n_per_class=10, side_px=64, seed=int(name == "other")) for name, out in draws.items()]
    first, again, other = (digests(out) for out in draws.values())
    assert first == again
    assert samples[0].planted == samples[1].planted
    assert not set(first.values()) & set(other.values()) - {
        hashlib.sha256(text).hexdigest() for text in fixed_contents(samples[0])
    }


def fixed_contents(sample: Sample) -> list[bytes]:
    """What does not depend on the seed: the broken files that hold no picture."""
    return [path.read_bytes() for kind in ("empty", "text", "html") for path in planted_paths(sample, kind)]


def test_a_picture_does_not_depend_on_how_many_are_drawn(tmp_path: Path) -> None:
    few = draw_sample("shapes", tmp_path / "few", n_per_class=3, side_px=64, faults=False)
    many = draw_sample("shapes", tmp_path / "many", n_per_class=5, side_px=64, faults=False)
    for path, digest in digests(few.root).items():
        if path != "planted.json":
            assert digests(many.root)[path] == digest


def test_counts_reconcile(shapes: Sample) -> None:
    files = Counter(path.parent.name for path in shapes.root.glob("*/*"))
    assert files == dict.fromkeys(("circle", "square", "triangle"), N_PER_CLASS)
    assert shapes.n_pictures == 3 * N_PER_CLASS == sum(files.values())
    assert shapes.classes == ("circle", "square", "triangle")
    assert sorted(path.name for path in shapes.root.iterdir()) == ["circle", "planted.json", "square", "triangle"]


def test_every_kind_of_fault_is_planted_once_per_file(shapes: Sample) -> None:
    counts = Counter(one.kind for one in shapes.planted)
    assert counts == {kind: max(1, round(frac * shapes.n_pictures)) for kind, frac in FAULTS.items()}
    assert len({one.path for one in shapes.planted}) == len(shapes.planted)


def test_planted_json_says_the_same(shapes: Sample) -> None:
    assert json.loads((shapes.root / "planted.json").read_text()) == [asdict(one) for one in shapes.planted]


def test_names_give_no_fault_away(shapes: Sample) -> None:
    for label in shapes.classes:
        stems = sorted(path.stem for path in (shapes.root / label).iterdir())
        assert stems == [f"{label}-{number:04d}" for number in range(1, N_PER_CLASS + 1)]
        assert {path.suffix for path in (shapes.root / label).iterdir()} <= {".jpg", ".png"}


def test_broken_files_cannot_be_opened_and_all_others_can(shapes: Sample) -> None:
    broken = {path for kind in BROKEN for path in planted_paths(shapes, kind)}
    for path in shapes.root.glob("*/*"):
        if path in broken:
            with pytest.raises(PictureError):
                open_picture(path)
        else:
            assert open_picture(path).size == (64, 64)


def test_broken_files_hold_what_their_kind_says(shapes: Sample) -> None:
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in planted_paths(shapes, "truncated"))
    assert all(path.read_bytes() == b"" for path in planted_paths(shapes, "empty"))
    assert all(path.suffix == ".jpg" and path.read_text().isprintable() is False for path in planted_paths(shapes, "text"))
    assert all(
        path.suffix == ".png" and path.read_bytes().startswith(b"<!DOCTYPE html>") for path in planted_paths(shapes, "html")
    )


def test_copies_are_byte_for_byte_and_only_they(shapes: Sample) -> None:
    files = {shapes.root / name: digest for name, digest in digests(shapes.root).items()}
    for kind, same_class in (("copy", True), ("copy_other_label", False)):
        for copy in planted_paths(shapes, kind):
            twins = [path for path in files if files[path] == files[copy] and path != copy]
            assert any((path.parent == copy.parent) == same_class for path in twins)
    planted = {shapes.root / one.path for one in shapes.planted}
    ordinary = [digest for path, digest in files.items() if path not in planted]
    assert len(ordinary) == len(set(ordinary))


def test_true_labels(shapes: Sample) -> None:
    for one in shapes.planted:
        folder = one.path.split("/")[0]
        if one.kind in ("copy", "truncated"):
            assert one.true_label == folder
        elif one.kind in ("wrong_label", "copy_other_label"):
            assert one.true_label in set(shapes.classes) - {folder}
        else:
            assert one.true_label is None


def test_a_wrongly_labelled_coin_shows_its_true_metal(tmp_path: Path) -> None:
    """The same slot drawn as the true metal is that very picture: nothing but the folder is wrong."""
    sample = draw_sample("coins", tmp_path / "coins", n_per_class=10, side_px=64)
    wrong = next(one for one in sample.planted if one.kind == "wrong_label")
    folder, name = wrong.path.split("/")
    key = [0, sample.classes.index(folder), int(name[-8:-4])]
    assert wrong.true_label is not None
    redrawn = np.asarray(draw_coin(wrong.true_label, np.random.default_rng(key), side_px=64), dtype=float)
    assert np.abs(redrawn - np.asarray(open_picture(sample.root / wrong.path))).mean() < 12  # JPEG's loss, of 255


def test_without_faults_nothing_is_planted(tmp_path: Path) -> None:
    sample = draw_sample("shapes", tmp_path / "clean", n_per_class=2, side_px=64, faults=False)
    assert sample.planted == ()
    assert json.loads((sample.root / "planted.json").read_text()) == []
    pictures = [path.read_bytes() for path in sample.root.glob("*/*")]
    assert len(pictures) == len(set(pictures)) == 6


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    draw_sample("shapes", tmp_path / "out", n_per_class=2, side_px=64, faults=False, progress=lambda *step: steps.append(step))
    assert steps == [("drawing", done, 6) for done in range(1, 7)]


def test_an_empty_folder_is_used_and_nothing_beside_it_is_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    draw_sample("shapes", out, n_per_class=1, side_px=64, faults=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CallError) as refusal:
        draw_sample("coins", tmp_path)
    assert str(refusal.value) == f"{tmp_path} is not empty; nothing is overwritten. Choose another --out."
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("keep")
    with pytest.raises(CallError, match=r"out is a file; nothing is overwritten\. Choose another --out\."):
        draw_sample("coins", tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    with pytest.raises(StorageError, match=r"file/out.*Name another folder"):
        draw_sample("shapes", tmp_path / "file" / "out", n_per_class=1, faults=False)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("coin", "unknown sample 'coin'; did you mean 'coins'?"),
        ("zebras", "unknown sample 'zebras'; known: coins, shapes"),
    ],
)
def test_an_unknown_kind_suggests_the_nearest_and_lists_all(kind: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(CallError) as refusal:
        draw_sample(kind, tmp_path / "out")
    assert str(refusal.value) == text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"n_per_class": 0}, "0 pictures per class"),
        ({"n_per_class": 9}, "9 pictures per class are too few to plant faults in; ask for 10 or more"),
        ({"side_px": 8}, "pictures of 8 px"),
        ({"seed": -1}, "the seed is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, int], text: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=text):
        draw_sample("coins", tmp_path / "out", **numbers)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("side_px", [32, 97, 256])
@pytest.mark.parametrize("metal", METALS)
def test_a_coin_is_a_picture_of_the_side_asked_for(metal: str, side_px: int) -> None:
    coin = draw_coin(metal, np.random.default_rng(3), side_px=side_px)
    assert (coin.mode, coin.size) == ("RGB", (side_px, side_px))
    assert np.asarray(coin, dtype=float).std() > 10  # not one flat colour


@pytest.mark.parametrize("subject", OFF_TOPIC)
def test_off_topic_pictures_are_drawn(subject: str) -> None:
    picture = draw_off_topic(subject, np.random.default_rng(0), side_px=64)
    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.size) == ("RGB", (64, 64))


def test_the_metals_differ_and_overlap() -> None:
    """On average gold is the yellowest and silver the least coloured; single coins stray into another metal's range."""
    warmth = {
        metal: np.array([warmth_of(draw_coin(metal, np.random.default_rng([0, i]), side_px=48)) for i in range(60)])
        for metal in METALS
    }
    assert warmth["silver"].mean() < warmth["gold"].mean()
    assert warmth["silver"].mean() < warmth["copper"].mean()
    assert warmth["silver"].max() > min(warmth["gold"].min(), warmth["copper"].min())


def warmth_of(coin: Image.Image) -> float:
    """Red minus blue in the middle of the picture, where most of the coin lies."""
    red, _, blue = np.asarray(coin, dtype=float)[16:32, 16:32].mean(axis=(0, 1))
    return float(red - blue)
