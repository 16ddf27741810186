"""Pictures that cannot be used as asked: each gets a text that names the thing and the remedy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tellapart.images.samples import Sample

SIZE = ("--size", "96")


def draw_classes(root: Path, *names: str, n: int = 4) -> None:
    """A folder per name with `n` plain pictures of its own colour."""
    for name in names:
        (root / name).mkdir(parents=True)
        hue = sum(name.encode()) * 7 % 256
        for number in range(n):
            Image.new("HSV", (40, 40), (hue + number, 200, 200)).convert("RGB").save(root / name / f"{number}.png")


def none(root: Path) -> None:
    root.mkdir()


def loose(root: Path) -> None:
    draw_classes(root.parent, root.name)


def one_class(root: Path) -> None:
    draw_classes(root, "rose")


def class_of_one(root: Path) -> None:
    draw_classes(root, "daisy", "rose")
    draw_classes(root, "owl", n=1)


def class_named_like_an_option(root: Path) -> None:
    draw_classes(root, "daisy", "rose")
    draw_classes(root, "--help", n=1)


def all_broken(root: Path) -> None:
    for name in ("daisy", "rose"):
        (root / name).mkdir(parents=True)
        for number in range(4):
            (root / name / f"{number}.jpg").write_text(f"{name} {number} is no picture")


def file(root: Path) -> None:
    root.write_text("a file")


def loop(root: Path) -> None:
    (root / "daisy").mkdir(parents=True)
    (root / "daisy" / "again").symlink_to(root, target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (none, 1, "is empty. Put pictures into one folder per class: "),
        (loose, 1, "lie in no class folder"),
        (one_class, 1, "'rose'"),
        (
            class_of_one,
            1,
            "class 'owl' has 1 picture; at least 2 are needed to hold one back. Add pictures, or leave it out: --drop owl",
        ),
        (
            class_named_like_an_option,
            1,
            "class '--help' has 1 picture; at least 2 are needed to hold one back. Add pictures, or leave it out: --drop",
        ),
        (all_broken, 1, "none of the 8 files can be read as a picture: not a picture (text)"),
        (file, 2, "is a file of no kind that holds labelled pictures; give a folder of class folders, a CSV"),
        (loop, 1, "no pictures"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_pictures_that_cannot_be_used(tellapart, tmp_path: Path, make: Callable[[Path], None], code: int, text: str) -> None:
    root = tmp_path / "data"
    make(root)
    done = tellapart("train", root, "--out", tmp_path / "run", *SIZE)
    assert done.returncode == code
    assert text in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_the_remedies_work_as_printed(tellapart, tmp_path: Path) -> None:
    class_named_like_an_option(tmp_path / "data")
    done = tellapart("train", tmp_path / "data", "--out", tmp_path / "run", *SIZE)
    remedy = done.stderr.strip().rpartition("leave it out: ")[2]
    words = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SIZE, "--json"]
    again = subprocess.run(
        ["sh", "-c", f'"$0" -m tellapart "$@" {remedy}', sys.executable, *words],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert json.loads(again.stdout)["classes"] == ["daisy", "rose"]


@pytest.mark.slow
def test_one_bad_file_never_ends_the_batch(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    """Every oddity that a disk holds at once; what can be read is trained on, what cannot is named, and the counts reconcile."""
    root = tmp_path / "data"
    shutil.copytree(clean_sample.root, root)
    (root / "square").rename(root / "--help")
    circle = root / "circle"
    good = min(circle.iterdir()).read_bytes()
    for number, name in enumerate(
        [b"new\nline.jpg", "🪙 münze.jpg".encode(), b"not-unicode-\xff.jpg", b"--out.jpg", b"no-suffix"]
    ):
        Path(os.fsdecode(bytes(circle) + b"/" + name)).write_bytes(
            good + bytes(number + 1)
        )  # its own content: no copy of another
    (circle / "empty.jpg").touch()
    (circle / "notes.jpg").write_text("no picture")
    (circle / "cut.jpg").write_bytes(good[: len(good) // 2])
    (circle / "dangling.jpg").symlink_to(tmp_path / "absent.jpg")
    (circle / "again").symlink_to(circle, target_is_directory=True)
    (circle / "notes.txt").write_text("not a picture by its name")
    done = tellapart("train", root, "--out", tmp_path / "run", "--json", *SIZE)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["classes"] == ["--help", "circle", "triangle"]
    assert facts["n_train"] + facts["n_valid"] == 36 + 5
    reasons = {os.path.basename(skip["path"]): skip["reason"] for skip in facts["skipped"]}
    assert reasons["empty.jpg"] == "the file is empty (0 bytes)"
    assert reasons["notes.jpg"] == "not a picture (text)"
    assert reasons["cut.jpg"].startswith("cannot be decoded: ")
    assert reasons["dangling.jpg"] == "cannot be read: No such file or directory"
    assert reasons["again"] == "a symbolic link that leads back to a folder above it"
    assert reasons["notes.txt"] == "not a picture by its name"
    assert facts["counts"].startswith(f"{41 + len(facts['skipped'])} files = 41 kept + ")
    shown = tellapart("predict", tmp_path / "run", circle, "--out", tmp_path / "predictions.csv")
    assert shown.returncode == 0
    assert "= 17 predicted + 4 unreadable" in shown.stderr
    report = tellapart("evaluate", tmp_path / "run", "--json")
    assert report.returncode == 0


def test_a_link_back_to_the_root_adds_no_pictures(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    root = Path(shutil.copytree(clean_sample.root, tmp_path / "data"))
    (root / "circle" / "again").symlink_to(root, target_is_directory=True)
    facts = json.loads(tellapart("train", root, "--out", tmp_path / "run", "--json", *SIZE).stdout)
    assert facts["n_train"] + facts["n_valid"] == 36


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    root = shutil.copytree(clean_sample.root, tmp_path / "data")
    (root / "circle").chmod(0)
    done = tellapart("train", root, "--out", tmp_path / "run", "--json", *SIZE)
    (root / "circle").chmod(0o700)
    assert done.returncode == 0
    assert any(skip["reason"] == "cannot be listed: Permission denied" for skip in json.loads(done.stdout)["skipped"])


@pytest.mark.slow
def test_a_thousand_classes(tellapart, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / "data" / f"{number:03}").mkdir(parents=True)
        for copy in range(3):
            colour = (number % 10 * 25, number // 10 % 10 * 25, number // 100 * 25)
            Image.new("RGB", (9 + copy, 9), colour).save(tmp_path / "data" / f"{number:03}" / f"{copy}.png")
    done = tellapart("train", tmp_path / "data", "--out", tmp_path / "run", "--json", "--size", "32")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["classes"]) == 1000
