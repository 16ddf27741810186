"""Tar shards and datasets: what stands beside a picture labels it, and nothing else in them is lost."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tellapart.data import Skipped
from tellapart.data.table import UNREADABLE
from tellapart.errors import CallError, DataError, TellapartError
from tellapart.images import open_picture
from tellapart.sources import Columns, list_members, pictures_in, read
from tellapart.sources.shards import expand

MakeFiles = Callable[[Path, Iterable[str]], None]


def jpeg(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), (number * 20 % 256, 90, 30)).save(file, "JPEG")
    return file.getvalue()


def shard(path: Path, files: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            payload = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, BytesIO(payload))
    return path


def samples(start: int, n: int = 3) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for number in range(start, start + n):
        found |= {f"{number:04d}.jpg": jpeg(number), f"{number:04d}.cls": f"{number % 2}\n"}
    return found


def message(source: object, columns: Columns | None = None) -> str:
    with pytest.raises(TellapartError) as caught:
        read(source, columns=columns or Columns())
    return str(caught.value)


def test_a_shard(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples(0))
    table = read(path)
    assert table.paths == tuple(f"{path}#{number:04d}.jpg" for number in range(3))
    assert (table.labels, set(table.sources), set(table.splits)) == (("0", "1", "0"), {"shards"}, {""})
    assert table.notes == (
        f"read {path} as a table: column '.cls' holds labels; 3 rows",
        "labels are the numbers 0 to 1, taken as they are",
    )
    assert open_picture(table.paths[2]).size == (16, 16)


def test_a_folder_a_count_and_a_pattern_are_the_same_shards(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path / f"shard-{number:03d}.tar", samples(3 * number))
    folder = read(tmp_path)
    assert len(folder) == 9
    assert read(f"{tmp_path}/shard-{{000..002}}.tar") == folder
    assert read(tmp_path / "shard-*.tar") == folder


def test_a_tar_beside_class_folders_is_no_shard(tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png"])
    backup = shard(tmp_path / "backup.tar", samples(0))
    table = read(tmp_path)
    assert table.counts == {"cat": 2, "dog": 1}
    assert [(skip.path, skip.reason) for skip in table.skipped] == [(str(backup), "not a picture by its name")]


def test_a_folder_without_pictures_beside_shards_changes_nothing(tmp_path: Path) -> None:
    shard(tmp_path / "shard-0.tar", samples(0))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "index.json").write_text("{}")
    assert len(read(tmp_path)) == 3


def test_a_picture_that_a_later_member_overrules_is_skipped(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples(0))
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("0000.jpg")
        info.size = len(jpeg(9))
        tar.addfile(info, BytesIO(jpeg(9)))
    table = read(path)
    assert len(table) == 3
    assert table.skipped == (Skipped(f"{path}#0000.jpg", "a later member of this tar has the same name"),)


def test_a_folder_of_shards_lists_their_pictures(tmp_path: Path) -> None:
    paths = [shard(tmp_path / f"shard-{number}.tar", samples(2 * number, 2)) for number in range(2)]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.me").write_text("x")
    others = list[Skipped]()
    found = list(pictures_in(tmp_path, others.append))
    assert found == [f"{paths[n // 2]}#{n:04d}.jpg" for n in range(4)]
    assert [(Path(skip.path).name, skip.reason) for skip in others] == [("read.me", "not a picture by its name")]


def test_names_of_shards_may_tell_the_split(tmp_path: Path) -> None:
    for number, part in enumerate(("train-0", "train-1", "val-0", "test")):
        shard(tmp_path / f"{part}.tar", samples(3 * number))
    table = read(tmp_path)
    splits = {Path(path.partition("#")[0]).stem: split for path, split in zip(table.paths, table.splits, strict=True)}
    assert splits == {"train-0": "train", "train-1": "train", "val-0": "valid", "test": "test"}


def test_json_labels_with_groups_and_weights(tmp_path: Path) -> None:
    facts = [{"label": ["cat", "indoor"], "patient": "p1", "weight": 2}, {"label": ["dog"], "patient": "p2", "caption": "a dog"}]
    files = {
        f"{n}.{kind}": content for n, fact in enumerate(facts) for kind, content in (("png", jpeg(n)), ("json", json.dumps(fact)))
    }
    table = read(shard(tmp_path / "x.tar", files))
    assert (table.multi_label, table.labels) == (True, ("cat|indoor", "dog"))
    assert (table.groups, table.weights) == (("p1", "p2"), (2.0, 1.0))
    assert read(tmp_path / "x.tar", columns=Columns(label="patient")).labels == ("p1", "p2")


def test_texts_label_where_nothing_else_does(tmp_path: Path) -> None:
    files = {f"{n}.{kind}": content for n, word in enumerate("xxy") for kind, content in (("jpg", jpeg(n)), ("txt", word))}
    assert read(shard(tmp_path / "x.tar", files)).labels == ("x", "x", "y")


def test_what_is_no_labelled_picture_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples(0) | {"7.jpg": jpeg(7), "8.cls": "1", "a/9.left.jpg": jpeg(9), "a/9.cls": "1"})
    table = read(path)
    assert table.paths[-1] == f"{path}#a/9.left.jpg"
    assert table.skipped == (
        Skipped(f"{path}#8.cls", "no picture beside it in its shard"),
        Skipped(f"{path}#7.jpg", "no label: row 3"),
    )


def test_what_a_shard_to_predict_has_lost_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples(0))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"0002.jpg") + 520])
    found, others = list_members(path) or ([], [])
    assert found == [f"{path}#0000.jpg", f"{path}#0001.jpg"]
    assert others[0] == Skipped(f"{path}#0002.jpg", "cut short: the tar ends before it", kind=UNREADABLE)


def test_shards_that_cannot_be_used(tmp_path: Path) -> None:
    assert "3 of 3 files that" in message(f"{tmp_path}/x-{{0..2}}.tar")
    assert "no file is called like" in message(f"{tmp_path}/*.tar")
    assert "counts 1000000000 shards" in message(f"{tmp_path}/x-{{0..999999999}}.tar")
    assert "x.tar#0.json is no JSON" in message(shard(tmp_path / "x.tar", {"0.jpg": jpeg(0), "0.json": "{"}))
    assert "hold no pictures (.jpg, .png ...)" in message(shard(tmp_path / "x.tar", {"0.cls": "1"}))
    assert "no column holds labels" in message(shard(tmp_path / "x.tar", {"0.jpg": jpeg(0)}))
    (tmp_path / "y.tar").write_bytes(b"not a tar")
    assert "y.tar is no uncompressed tar" in message(tmp_path / "y.tar")


def test_braces_count_with_their_zeros(tmp_path: Path) -> None:
    for name in ("a-08.tar", "a-09.tar", "a-10.tar"):
        (tmp_path / name).touch()
    assert [path.name for path in expand(f"{tmp_path}/a-{{08..10}}.tar")] == ["a-08.tar", "a-09.tar", "a-10.tar"]


NOTE = st.binary(max_size=20) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["label", "split", "weight", ".picture"]), inner),
).map(lambda value: json.dumps(value).encode())


@given(st.lists(st.tuples(st.sampled_from(["cls", "json", "txt", "tar", "jpg"]), NOTE), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_notes_are_a_table_or_a_clear_error(notes: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = shard(Path(folder) / "x.tar", {"0.png": jpeg(0)} | {f"0.{ending}": content for ending, content in notes})
        try:
            table = read(path)
        except (CallError, DataError):
            return
        assert len(table)
        assert table.multi_label or all(table.labels)  # of several labels a picture may have none


# Datasets ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets", reason="the datasets library is not installed")


def make_dataset(datasets: Any, folder: Path, **more: Any) -> Any:
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    rows = {"image": [jpeg(0), str(folder / "1.png"), jpeg(2)], "label": [0, 1, 1]} | {
        name: cells for name, (cells, _) in more.items()
    }
    rows["image"] = [
        {"bytes": one, "path": None} if isinstance(one, bytes) else {"bytes": None, "path": one} for one in rows["image"]
    ]
    kinds |= {name: kind for name, (_, kind) in more.items()}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))


def test_a_dataset(datasets: Any, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["1.png"])
    table = read(make_dataset(datasets, tmp_path))
    assert table.labels == ("cat", "dog", "dog")
    assert table.paths[1] == str(tmp_path / "1.png")
    assert table.paths[0].endswith(".tar#0000000.jpg")
    assert open_picture(table.paths[2]).size == (16, 16)
    assert read(make_dataset(datasets, tmp_path)) == table


def test_parts_are_splits(datasets: Any, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["1.png"])
    both = datasets.DatasetDict({"train": make_dataset(datasets, tmp_path), "validation": make_dataset(datasets, tmp_path)})
    assert read(both).splits == ("train",) * 3 + ("valid",) * 3
    with pytest.raises(CallError, match="the dataset has a part 'extra'"):
        read(datasets.DatasetDict({"extra": make_dataset(datasets, tmp_path)}))


def test_lists_of_classes_are_several_labels(datasets: Any, tmp_path: Path, make_files: MakeFiles) -> None:
    make_files(tmp_path, ["1.png"])
    kind = datasets.Sequence(datasets.ClassLabel(names=["red", "blue"]))
    table = read(make_dataset(datasets, tmp_path, tags=([[0], [0, 1], []], kind)), columns=Columns(label="tags"))
    assert (table.multi_label, table.labels) == (True, ("red", "red|blue", ""))
    assert table.skipped == ()


def test_a_dataset_without_pictures(datasets: Any) -> None:
    with pytest.raises(CallError, match="no feature is of the kind Image; it has text"):
        read(datasets.Dataset.from_dict({"text": ["a"]}))
