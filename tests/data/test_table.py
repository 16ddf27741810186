"""The table as a value: it changes into another one, counts what it holds, and survives being written down."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tellapart.data import ImageTable, Skipped, table_of
from tellapart.data.table import COLUMNS, UNREADABLE
from tellapart.errors import CallError, DataError, MissingExtraError

MakeTable = Callable[..., ImageTable]
HEADER = "path,sha256,label,group,split,source,weight\n"
OLD_HEADER = "path,sha256,label,group,split,source\n"  # as 0.1 wrote it


def test_classes_are_sorted_and_counted(make_table: MakeTable) -> None:
    table = make_table({"owl": 2, "ant": 3})
    assert table.classes == ("ant", "owl")
    assert list(table.counts.items()) == [("ant", 3), ("owl", 2)]
    assert len(table) == 5


def test_taking_rows_keeps_their_order_and_the_skipped(make_table: MakeTable) -> None:
    table = make_table({"a": 2, "b": 2})
    taken = table.take([3, 0])
    assert (taken.paths, taken.labels) == (("b/3.jpg", "a/0.jpg"), ("b", "a"))
    assert len(table) == 4
    assert table.take([]).classes == ()


def test_a_part_of_the_split(make_table: MakeTable) -> None:
    table = make_table({"a": 3}).with_splits(["train", "valid", "train"])
    assert table.in_split("train").paths == ("a/0.jpg", "a/2.jpg")
    assert len(table.in_split("test")) == 0
    with pytest.raises(CallError, match="unknown split 'vlaid'; did you mean 'valid'"):
        table.in_split("vlaid")


def test_classes_are_left_out_by_name(make_table: MakeTable) -> None:
    table = make_table({"ant": 1, "bee": 1, "owl": 1})
    left = table.without_classes(["bee", "ant"])
    assert (left.classes, left.account()) == (("owl",), "3 files = 1 kept + 2 of a class that was left out")
    assert table.without_classes([]) == table
    with pytest.raises(CallError, match="unknown class 'ow'; did you mean 'owl'"):
        table.without_classes(["ow"])


def test_contents_that_cannot_be_read_go_to_the_skipped(make_table: MakeTable) -> None:
    table = make_table({"a": 3}, contents=["one", "two", "one"])
    kept = table.without({table.sha256[0]: "cannot be decoded: truncated"})
    assert kept.paths == ("a/1.jpg",)
    assert kept.skipped == tuple(
        Skipped(path, "cannot be decoded: truncated", table.sha256[0], UNREADABLE) for path in ("a/0.jpg", "a/2.jpg")
    )
    assert kept.account() == "3 files = 1 kept + 2 cannot be decoded"


def test_no_cell_is_a_formula_and_all_come_back() -> None:
    names = ("=1+1", "+1", "-1", "@x", "'=x", "'", "plain", '"quoted"')
    digests = tuple(f"{number:064x}" for number in range(len(names)))
    table = ImageTable(names, digests, names, names, ("train",) * len(names), ("list",) * len(names))
    text = table.to_csv()
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert ImageTable.from_csv(text) == table


def test_an_old_table_is_read_as_it_was_written() -> None:
    text = f'path,sha256,label,group,split,source\n"\'=x.jpg",{"0" * 64},a,,train,list\n'
    assert ImageTable.from_csv(text).paths == ("'=x.jpg",)


def test_the_account_counts_reasons_without_their_details() -> None:
    reasons = ["cannot be decoded: x", "not a picture by its name", "cannot be decoded: y"]
    table = table_of([], [], skipped=tuple(Skipped(str(number), reason) for number, reason in enumerate(reasons)))
    assert table.account() == "3 files = 0 kept + 2 cannot be decoded + 1 not a picture by its name"


def test_a_table_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"one")
    (tmp_path / "2.jpg").write_bytes(b"")
    paths = [str(tmp_path / name) for name in ("1.jpg", "gone.jpg", "2.jpg")] + ["a\0b"]
    table = table_of(paths, ["a", "b", "c", "d"], splits=["train", "valid", "test", "train"])
    assert table.sha256 == (
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    )
    assert (table.labels, table.splits, table.sources) == (("a", "c"), ("train", "test"), ("list", "list"))
    assert table.skipped == (
        Skipped(paths[1], "cannot be read: No such file or directory", kind=UNREADABLE),
        Skipped(paths[3], "cannot be read: embedded null byte", kind=UNREADABLE),
    )


def test_each_path_needs_a_label() -> None:
    with pytest.raises(DataError, match="2 paths but 1 label; each picture needs one"):
        table_of(["1.jpg", "2.jpg"], ["a"])


def test_hashing_keeps_the_order_and_tells_its_progress(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number:03d}") for number in range(200)]
    for path in paths:
        Path(path).write_text(path)
    steps: list[tuple[str, int, int]] = []
    table = table_of(paths, ["a"] * 200, progress=lambda *step: steps.append(step))
    assert list(table.paths) == paths
    assert steps == [("reading", done, 200) for done in (64, 128, 192, 200)]


@pytest.mark.slow  # importing pandas takes seconds
def test_as_a_data_frame(make_table: MakeTable) -> None:
    pytest.importorskip("pandas")
    frame = make_table({"a": 1, "b": 1}).frame
    assert tuple(frame.columns) == COLUMNS
    assert frame["label"].tolist() == ["a", "b"]


# CSV -----------------------------------------------------------------------------------------------------------------


def test_csv_has_a_header_and_a_line_per_row(make_table: MakeTable) -> None:
    table = make_table({"a,b": 1})
    lines = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert lines == [list(COLUMNS), ["a,b/0.jpg", table.sha256[0], "a,b", "", "", "list", "1.0"]]
    assert ImageTable.from_csv(HEADER) == ImageTable.from_csv(OLD_HEADER) == make_table({})


def test_a_table_that_an_older_version_wrote_is_read(make_table: MakeTable) -> None:
    old = ImageTable.from_csv(OLD_HEADER + '"1.jpg","00","cat","burst","train","folder"\n')
    assert (old.paths, old.labels, old.groups, old.splits) == (("1.jpg",), ("cat",), ("burst",), ("train",))
    assert old.weights == (1.0,)


def test_weights_and_several_labels_survive_the_csv(make_table: MakeTable) -> None:
    table = replace(make_table({"cat|dog": 1, "owl": 1}), weights=(0.5, 2.0), multi_label=True)
    assert ImageTable.from_csv(table.to_csv()) == table
    assert table.to_csv().splitlines()[0] == '"path","sha256","labels","group","split","source","weight"'


@pytest.mark.parametrize("weight", ["heavy", "0", "-1", "nan", "inf", ""])
def test_a_weight_that_is_none_is_refused(weight: str) -> None:
    with pytest.raises(DataError, match="not a table of pictures: "):
        ImageTable.from_csv(f"{HEADER}1.jpg,0,a,,,list,{weight}\n")


def test_several_labels_a_picture(make_table: MakeTable) -> None:
    table = replace(make_table({"cat|dog": 2, "owl": 1}), multi_label=True)
    assert table.classes == ("cat", "dog", "owl")
    assert table.counts == {"cat": 2, "dog": 2, "owl": 1}
    assert table.label_sets == (("cat", "dog"), ("cat", "dog"), ("owl",))
    assert table.without_classes(["dog"]).labels == ("owl",)
    with pytest.raises(DataError, match="these pictures have several labels each; one label a picture is needed here"):
        _ = table.codes
    assert replace(table, multi_label=False).classes == ("cat|dog", "owl")


def test_groups_notes_and_weights_are_values(make_table: MakeTable) -> None:
    table = make_table({"a": 2})
    assert table.with_groups(["x", ""]).groups == ("x", "")
    assert table.with_notes("one").with_notes("two", "three").notes == ("one", "two", "three")
    assert table.notes == ()
    assert replace(table, weights=(1.0, 3.0)).take([1]).weights == (3.0,)


TEXT = st.text(st.characters(exclude_characters="\r"), max_size=8)  # surrogates included: file names hold them
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=5)


def table_of_rows(rows: list[tuple[str, ...]]) -> ImageTable:
    return ImageTable(*(zip(*rows, strict=True) if rows else ((),) * 6))


@given(ROWS)
@example([("a\nb", '"', ",", "\n\n", "\0", "\udcff")])
@example([("", "", "", "", "", "")])
def test_a_table_survives_its_csv(rows: list[tuple[str, ...]]) -> None:
    assert ImageTable.from_csv(table_of_rows(rows).to_csv()) == table_of_rows(rows)


@pytest.mark.parametrize("name", ["a\rb", "\r", "a\r\nb"])
def test_a_carriage_return_in_a_name_survives_the_csv(name: str) -> None:
    table = table_of_rows([(name, "0", "label", "", "", "folder")])
    assert ImageTable.from_csv(table.to_csv()) == table


def test_a_name_that_is_no_unicode_survives_the_csv() -> None:
    table = table_of_rows([(os.fsdecode(b"caf\xe9.jpg"), "0", "label", "", "", "folder")])
    assert ImageTable.from_csv(table.to_csv()) == table


NOT_A_TABLE = "not a table of pictures: the first line must be path,sha256,label,group,split,source,weight"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "garbage",
        '"never closed',
        "\0\0\0",
        "path,label\n1.jpg,a\n",
        HEADER + "1.jpg,0,a\n",
        HEADER + "1.jpg,0,a,,,list,1.0,more\n",
        OLD_HEADER + "1.jpg,0,a,,,list,1.0\n",
        HEADER + "\n",
        HEADER.upper(),
    ],
)
def test_csv_that_is_something_else_is_refused(text: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageTable.from_csv(text)
    assert str(caught.value) == NOT_A_TABLE


def test_csv_with_a_field_without_end_is_refused() -> None:
    with pytest.raises(DataError):
        ImageTable.from_csv(f'{HEADER}"{"x" * 200_000}')


@given(st.text(max_size=80) | st.text('",\n\r\0a', max_size=80), st.sampled_from(["", HEADER]))
def test_any_text_is_a_table_or_a_data_error(text: str, start: str) -> None:
    try:
        table = ImageTable.from_csv(start + text)
    except DataError:
        return
    assert len({len(column) for column in (table.paths, table.sha256, table.labels, table.groups, table.splits)}) == 1


def test_a_data_frame_without_pandas_names_the_extra(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"a data frame needs: pip install 'tellapart\[tables\]'"):
        _ = make_table({"a": 1}).frame
