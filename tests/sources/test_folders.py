"""Folders of pictures: what becomes a row, what is skipped and why, and that nothing is lost between the two."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, Skipped, split
from tellapart.errors import CallError, DataError
from tellapart.sources import list_pictures, read
from tellapart.sources.folders import read_folder

MakeFiles = Callable[[Path, Iterable[str]], None]
NOT_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
BY_NAME = "not a picture by its name"
LOOP = "a symbolic link that leads back to a folder above it"


def names(table: ImageTable, root: Path) -> list[str]:
    return sorted(Path(path).relative_to(root).as_posix() for path in table.paths)


def reasons(table: ImageTable, root: Path) -> dict[str, str]:
    return {Path(skip.path).relative_to(root).as_posix(): skip.reason for skip in table.skipped}


# Layouts -------------------------------------------------------------------------------------------------------------


def test_a_folder_is_a_class(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png"])
    table = read(tmp_path)
    assert (table.classes, table.counts) == (("cat", "dog"), {"cat": 2, "dog": 1})
    assert table.labels == ("cat", "cat", "dog")
    assert (set(table.splits), set(table.sources), set(table.groups)) == ({""}, {"folder"}, {""})
    assert len(set(table.sha256)) == 3
    assert table.skipped == ()
    assert table.account() == "3 files = 3 kept"


def test_a_path_may_be_text_and_rows_are_in_the_order_of_names(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["b/2.png", "a/1.png", "b/1.png"])
    assert read(str(tmp_path)) == read(tmp_path)
    assert read(tmp_path).paths == tuple(str(tmp_path / name) for name in ("a/1.png", "b/1.png", "b/2.png"))


def test_however_deep_a_picture_lies_the_first_folder_is_its_class(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["cat/1.png", "cat/indoor/2.png", "cat/indoor/night/3.png", f"dog/{'d/' * 100}1.png"])
    assert read(tmp_path).counts == {"cat": 3, "dog": 1}


def test_folders_in_one_wrapper_are_the_classes(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["archive/pictures/cat/1.png", "archive/pictures/dog/1.png", "__MACOSX/cat/1.png", ".git/x.png"])
    table = read(tmp_path)
    assert table.counts == {"cat": 1, "dog": 1}
    assert names(table, tmp_path) == ["archive/pictures/cat/1.png", "archive/pictures/dog/1.png"]


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "Val", "VALID"])
@pytest.mark.parametrize("train", ["train", "training", "Train"])
def test_split_folders_are_honoured(train: str, valid: str, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, [f"{part}/{label}/{n}.png" for part in (train, valid, "test") for label in "ab" for n in (1, 2)])
    table = read(tmp_path)
    assert table.counts == {"a": 6, "b": 6}
    assert Counter(table.splits) == {"train": 4, "valid": 4, "test": 4}
    folders = {"train": train, "valid": valid, "test": "test"}
    assert all(Path(path).parts[-3] == folders[name] for path, name in zip(table.paths, table.splits, strict=True))


def test_a_wrapper_around_split_folders(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["flowers/train/a/1.png", "flowers/train/b/1.png", "flowers/val/a/2.png"])
    assert Counter(read(tmp_path).splits) == {"train": 2, "valid": 1}


def test_a_train_folder_alone(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["train/a/1.png", "train/b/1.png"])
    assert (read(tmp_path).counts, set(read(tmp_path).splits)) == ({"a": 1, "b": 1}, {"train"})


def test_what_lies_beside_the_train_folder_is_named(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["train/a/1.png", "train/b/1.png", "test/a/2.png", "unsorted/3.png", "cover.png"])
    (tmp_path / "README.md").write_text("about")
    table = read(tmp_path)
    assert len(table) == 3
    assert reasons(table, tmp_path) == dict.fromkeys(("unsorted/3.png", "cover.png", "README.md"), "beside the train folder")


@pytest.mark.parametrize("label", ["train", "test", "val"])
def test_a_class_named_like_a_split_that_holds_pictures_is_a_class(label: str, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, [f"{label}/1.png", f"{label}/2.png", "plane/1.png"])
    table = read(tmp_path)
    assert table.counts == {"plane": 1, label: 2}
    assert set(table.splits) == {""}


def test_held_back_folders_alone_are_honoured(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["test/a/1.png", "valid/a/2.png"])
    table = read(tmp_path)
    assert (table.counts, table.splits) == ({"a": 2}, ("test", "valid"))


def test_a_folder_named_like_a_held_back_part_beside_classes_is_one(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["test/deep/1.png", "plane/1.png"])
    assert read(tmp_path).counts == {"plane": 1, "test": 1}


def test_pictures_below_a_folder_are_listed_with_what_else_lies_there(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "__MACOSX/2.png", "3.jpg"])
    (tmp_path / "a" / "notes.txt").write_text("about")
    pictures, others = list_pictures(tmp_path)
    assert [Path(path).name for path in pictures] == ["3.jpg", "1.png"]
    assert [(Path(skip.path).name, skip.reason) for skip in others] == [("notes.txt", "not a picture by its name")]


# What is not a row ---------------------------------------------------------------------------------------------------


def test_hidden_and_junk_entries_are_no_classes_and_no_pictures(tmp_path: Path, make_files: MakeFiles) -> None:
    junk = [".ipynb_checkpoints", "__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"]
    make_files(tmp_path, ["a/1.png", "b/1.png", *(f"{name}/1.png" for name in junk), *(f"a/{name}/1.png" for name in junk)])
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "ehthumbs.db", "._1.png"):
        (tmp_path / name).write_bytes(b"junk")
        (tmp_path / "a" / name).write_bytes(b"junk")
    table = read(tmp_path)
    assert names(table, tmp_path) == ["a/1.png", "b/1.png"]
    assert table.skipped == ()


def test_what_is_no_picture_is_counted_and_named(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "b/1.PNG", "loose.jpg"])
    (tmp_path / "labels.csv").write_text("1,2")
    (tmp_path / "a" / "notes.txt").write_text("notes")
    (tmp_path / "a" / "film.mp4").write_bytes(bytes(9))
    table = read(tmp_path)
    assert reasons(table, tmp_path) == {
        "labels.csv": BY_NAME,
        "a/notes.txt": BY_NAME,
        "a/film.mp4": BY_NAME,
        "loose.jpg": "lies in no class folder",
    }
    assert table.account() == "6 files = 2 kept + 3 not a picture by its name + 1 lies in no class folder"


def test_a_file_without_suffix_is_looked_into(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/picture", "b/1.png", "loose"])
    (tmp_path / "a" / "Makefile").write_text("all:\n")
    table = read(tmp_path)
    assert names(table, tmp_path) == ["a/picture", "b/1.png"]
    assert reasons(table, tmp_path) == {"a/Makefile": BY_NAME, "loose": "lies in no class folder"}


def test_broken_pictures_are_rows_until_they_are_decoded(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "b/1.png"])
    (tmp_path / "a" / "empty.jpg").touch()
    (tmp_path / "a" / "text.jpg").write_text("text")
    assert read(tmp_path).counts == {"a": 3, "b": 1}


def test_a_link_that_leads_nowhere_is_skipped(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "b/1.png"])
    (tmp_path / "a" / "gone.png").symlink_to("nowhere.png")
    table = read(tmp_path)
    assert len(table) == 2
    assert reasons(table, tmp_path) == {"a/gone.png": "cannot be read: No such file or directory"}


@NOT_ROOT
def test_what_may_not_be_read_is_named(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "a/2.png", "b/1.png", "b/secret/2.png"])
    (tmp_path / "a/2.png").chmod(0)
    (tmp_path / "b/secret").chmod(0)
    table = read(tmp_path)
    (tmp_path / "b/secret").chmod(0o700)
    assert len(table) == 2
    assert reasons(table, tmp_path) == {
        "a/2.png": "cannot be read: Permission denied",
        "b/secret": "cannot be listed: Permission denied",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_skipped_and_not_waited_for(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "b/1.png"])
    pipe = tmp_path / "a" / "pipe.jpg"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.open("wb").close())  # so that this test ends where read() opens the pipe
    writer.start()
    table = read(tmp_path)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # lets the writer go where read() did not
    writer.join()
    os.close(reader)
    assert len(table) == 2
    assert list(reasons(table, tmp_path)) == ["a/pipe.jpg"]


# Symbolic links to folders -------------------------------------------------------------------------------------------


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["store/cats/1.png", "store/cats/2.png", "pictures/dog/1.png"])
    (tmp_path / "pictures/cat").symlink_to(tmp_path / "store/cats")
    assert read(tmp_path / "pictures").counts == {"cat": 2, "dog": 1}


def test_the_folder_itself_may_be_a_link(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["store/a/1.png", "store/b/1.png"])
    (tmp_path / "link").symlink_to("store")
    assert read(tmp_path / "link").counts == {"a": 1, "b": 1}


@pytest.mark.parametrize("target", ["a", "a/deep"])
def test_a_link_back_to_a_folder_of_its_class_ends_there(target: str, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "a/deep/2.png", "b/1.png"])
    (tmp_path / "a/deep/again").symlink_to(tmp_path / target)
    table = read(tmp_path)
    assert table.counts == {"a": 2, "b": 1}
    assert reasons(table, tmp_path) == {"a/deep/again": LOOP}


def test_links_between_two_folders_end(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/x/1.png", "a/y/2.png", "b/1.png"])
    (tmp_path / "a/x/to-y").symlink_to(tmp_path / "a/y")
    (tmp_path / "a/y/to-x").symlink_to(tmp_path / "a/x")
    table = read(tmp_path)
    assert set(table.sha256) == {*read(tmp_path).sha256}
    assert table.counts == {"a": 4, "b": 1}  # each of the two is found by both ways
    assert set(reasons(table, tmp_path).values()) == {LOOP}


def test_a_link_back_to_the_root_brings_no_other_class_along(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "b/1.png", "c/1.png"])
    (tmp_path / "a/up").symlink_to(tmp_path)
    table = read(tmp_path)
    assert table.counts == {"a": 1, "b": 1, "c": 1}
    assert reasons(table, tmp_path) == {"a/up": LOOP}


@pytest.mark.parametrize("place", ["self.png", "self", "a/self.png", "a/self", "a/deep/self"])
def test_a_link_to_itself_is_skipped(place: str, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["a/1.png", "a/deep/2.png", "b/1.png"])
    link = tmp_path / place
    link.symlink_to(link.name)
    table = read(tmp_path)
    assert len(table) == 3
    assert list(reasons(table, tmp_path)) == [place]


def test_a_folder_that_holds_a_link_to_itself_alone_is_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(DataError, match="holds no pictures"):
        read(tmp_path)


# Names ---------------------------------------------------------------------------------------------------------------

ODD_NAMES = {
    "newline": "two\nlines",
    "carriage return": "back\rwards",
    "tab": "a\tb",
    "emoji": "🦉 owl",
    "right to left": "ינשוף",
    "combining": "e\u0301\u0308",
    "quotes": '"it\'s"',
    "comma": "a,b;c",
    "backslash": "a\\b",
    "an option": "--help",
    "a short option": "-x",
    "a pattern": "[a-z]*?",
    "spaces": " lead and trail ",
    "not unicode": os.fsdecode(b"caf\xe9\xff"),
    "a picture": "cat.jpg",
    "long": "n" * 200,
}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")
@pytest.mark.parametrize("kind", ODD_NAMES)
def test_odd_names_of_classes_and_files_are_kept_as_they_are(kind: str, tmp_path: Path, make_files: MakeFiles) -> None:
    name = ODD_NAMES[kind]
    make_files(tmp_path, [f"{name}/{name}.png", f"{name}/2.png", "plain/1.png", "plain/2.png"])
    (tmp_path / name / f"{name}.txt").write_text("no picture")
    table = read(tmp_path)
    assert table.counts == dict(sorted({name: 2, "plain": 2}.items()))
    assert str(tmp_path / name / f"{name}.png") in table.paths
    assert table.skipped == (Skipped(str(tmp_path / name / f"{name}.txt"), BY_NAME),)
    assert split(table).counts == table.counts
    assert Counter(split(table).splits) == {"train": 2, "valid": 2}


# Refusals ------------------------------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        read(tmp_path / "nowhere")
    expected = f"no such folder: {tmp_path}/nowhere. Give the folder that holds a folder of pictures per class."
    assert str(caught.value) == expected


def test_a_nul_in_the_name_is_a_missing_folder() -> None:
    with pytest.raises(CallError, match="no such folder"):
        read("a\0b")


def test_a_name_that_is_too_long_is_a_missing_folder() -> None:
    with pytest.raises(CallError, match="no such folder"):
        read("a" * 5000)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"1")
    with pytest.raises(CallError) as caught:
        read_folder(tmp_path / "1.jpg")
    assert str(caught.value) == f"{tmp_path}/1.jpg is a file; give the folder that holds a folder of pictures per class"


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_an_empty_folder(below: str, tmp_path: Path) -> None:
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    expected = f"{tmp_path} is empty. Put pictures into one folder per class: {tmp_path}/cat/1.jpg, {tmp_path}/dog/2.jpg."
    assert str(caught.value) == expected


def test_pictures_in_no_class_folder(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["1.png", "2.png"])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"the pictures in {tmp_path} lie in no class folder. "
        f"Put pictures into one folder per class: {tmp_path}/cat/1.jpg, {tmp_path}/dog/2.jpg."
    )


def test_a_folder_of_other_things_names_the_first_five(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text("text")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no pictures (.jpg, .png, .webp ...); 7 other entries were found: "
        "'0.txt', '1.txt', '2.txt', '3.txt', '4.txt'. "
        f"Put pictures into one folder per class: {tmp_path}/cat/1.jpg, {tmp_path}/dog/2.jpg."
    )


def test_one_class_is_named_as_one_class(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["cat/1.png", "cat/2.png"])
    with pytest.raises(DataError, match="one class, 'cat' has pictures to train on"):
        split(read(tmp_path))


def test_one_class_beside_an_empty_folder(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["cat/1.png", "cat/2.png"])
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError) as caught:
        split(read(tmp_path))
    assert str(caught.value) == (
        "one class, 'cat' has pictures to train on; telling apart needs at least 2. Add a folder of pictures for another class."
    )


# Many ----------------------------------------------------------------------------------------------------------------


def test_a_thousand_classes(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, [f"{label:04d}/{n}.png" for label in range(1000) for n in range(2)])
    table = split(read(tmp_path))
    assert len(table.classes) == 1000
    assert Counter(table.splits) == {"train": 1000, "valid": 1000}
    assert table.in_split("train").classes == table.in_split("valid").classes == table.classes


def test_progress_is_told_while_reading(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, [f"{label}/{n}.png" for label in "ab" for n in range(50)])
    steps: list[tuple[str, int, int]] = []
    read(tmp_path, progress=lambda *step: steps.append(step))
    reading = [(done, total) for what, done, total in steps if what == "reading"]
    assert reading == sorted(set(reading))
    assert reading[-1] == (100, 100)


FILE_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".")
)
LAYOUTS = st.lists(
    st.tuples(st.sampled_from(["", "cat", "dog", "cat/deep", "-x"]), FILE_NAMES, st.sampled_from([".png", ".JPG", ".txt", ""])),
    max_size=12,
)


@given(LAYOUTS)
@settings(max_examples=60, deadline=None)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")
def test_every_file_is_a_row_or_is_skipped(layout: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, label in enumerate(("cat", "dog")):
            (root / label).mkdir()
            (root / label / "first.png").write_bytes(bytes([number]))
        for below, stem, suffix in layout:
            path = root / below / (stem + suffix)
            path.parent.mkdir(exist_ok=True)
            if not path.is_dir():
                path.write_bytes(stem.encode())
        files = {str(path) for path in root.rglob("*") if path.is_file()}
        table = read(root)
        assert len(table) + len(table.skipped) == len(files)
        assert {*table.paths} | {skip.path for skip in table.skipped} == files
        assert table.account().startswith(f"{len(files)} files = {len(table)} kept")
