"""Tables of paths and labels: which columns were taken for what, what became a row, and what every bad row is called."""

from __future__ import annotations

import codecs
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tellapart.data import ImageTable, Skipped
from tellapart.data.table import UNREADABLE
from tellapart.errors import CallError, DataError, TellapartError
from tellapart.sources import Columns, list_members, read

MakeFiles = Callable[[Path, Iterable[str]], None]


@pytest.fixture
def folder(tmp_path: Path, make_files: MakeFiles) -> Path:
    """Six pictures: a/1.png ... a/3.png, b/1.png ... b/3.png."""
    make_files(tmp_path, [f"{label}/{number}.png" for label in "ab" for number in (1, 2, 3)])
    return tmp_path


def table_at(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(table: ImageTable, folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in table.paths]


def message(source: object, columns: Columns | None = None) -> str:
    with pytest.raises(TellapartError) as caught:
        read(source, columns=columns or Columns())
    return str(caught.value)


# What is understood --------------------------------------------------------------------------------------------------


def test_columns_are_told_by_their_names_and_said(folder: Path) -> None:
    path = table_at(
        folder,
        "id,File Name,Breed,subset,patient_id,sample_weight\n"
        "0,a/1.png,cat,Training,p1,2\n1,a/2.png,cat,val,p1,\n2,b/1.png,dog,TEST,p2,0.5\n3,b/2.png,dog,,p3,1\n",
    )
    table = read(path)
    assert names(table, folder) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    assert table.labels == ("cat", "cat", "dog", "dog")
    assert table.splits == ("train", "valid", "test", "")
    assert table.groups == ("p1", "p1", "p2", "p3")
    assert table.weights == (2.0, 1.0, 0.5, 1.0)
    assert (set(table.sources), table.skipped) == ({"table"}, ())
    assert table.notes == (
        f"read {path} as a table: column 'File Name' holds paths, 'Breed' labels, 'subset' splits, 'patient_id' groups, "
        f"'sample_weight' weights; 4 rows; relative to {folder}/",
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_the_delimiter_is_found(delimiter: str, suffix: str, folder: Path) -> None:
    lines = [("file", "label", "note"), ("a/1.png", "cat", "x y"), ("b/1.png", "dog", "z")]
    table = read(table_at(folder, "\n".join(map(delimiter.join, lines)), f"list{suffix}"))
    assert table.labels == ("cat", "dog")


def test_a_table_is_told_by_content_where_names_say_nothing(folder: Path) -> None:
    table = read(table_at(folder, "Unnamed: 0,what,kind\n0,a/1.png,cat\n1,a/2.png,cat\n2,b/1.png,dog\n"))
    assert table.labels == ("cat", "cat", "dog")
    assert "column 'what' holds paths, 'kind' labels" in table.notes[0]


def test_numbered_columns_beside_paths_are_no_pixels(folder: Path) -> None:
    numbers = ",".join(f"f{number}" for number in range(20))
    zeros = ",0" * 20
    table = read(table_at(folder, f"path,label,{numbers}\na/1.png,cat{zeros}\nb/1.png,dog{zeros}\n"))
    assert table.labels == ("cat", "dog")


def test_a_column_of_splits_is_told_by_its_words(folder: Path) -> None:
    table = read(table_at(folder, "file,part,breed\na/1.png,train,cat\na/2.png,val,cat\nb/1.png,train,dog\n"))
    assert (table.labels, table.splits) == (("cat", "cat", "dog"), ("train", "valid", "train"))


def test_a_class_called_train_is_no_split(folder: Path) -> None:
    table = read(table_at(folder, "file,label\na/1.png,train\na/2.png,train\n"))
    assert (table.labels, table.splits) == (("train", "train"), ("", ""))


def test_a_table_without_a_header(folder: Path) -> None:
    table = read(table_at(folder, "a/1.png,cat\na/2.png,cat\nb/1.png,dog\n"))
    assert table.labels == ("cat", "cat", "dog")
    assert table.notes[0] == "there is no header; the columns are called 'column 1', 'column 2'"


def test_columns_that_are_given_are_taken(folder: Path) -> None:
    path = table_at(folder, "file,thumb,label,class,split\na/1.png,b/1.png,x,1,one\na/2.png,b/2.png,y,2,two\n")
    columns = Columns(path="thumb", label="class", split="", root=folder)
    table = read(path, columns=columns)
    assert (names(table, folder), table.labels, set(table.splits)) == (["b/1.png", "b/2.png"], ("1", "2"), {""})
    assert "labels are the numbers 1 to 2, taken as they are" in table.notes


def test_relative_paths_begin_at_the_root(folder: Path) -> None:
    path = table_at(folder, "file,label\n1.png,x\n2.png,x\n")
    assert names(read(path, columns=Columns(root=folder / "b")), folder) == ["b/1.png", "b/2.png"]


def test_names_without_a_suffix_get_the_one_that_is_there(folder: Path) -> None:
    table = read(table_at(folder, "id,breed\na/1,cat\nb/2,dog\nb/3,dog\n"))
    assert names(table, folder) == ["a/1.png", "b/2.png", "b/3.png"]
    assert table.notes[0].endswith("; .png put behind the names")


def test_paths_outside_of_the_folder_are_said(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, make_files: MakeFiles
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make_files(elsewhere, ["1.png"])
    (folder / "lists").mkdir()
    table = read(table_at(folder / "lists", f"file,label\n{elsewhere / '1.png'},x\n../a/1.png,x\n", "list.csv"))
    assert len(table) == 2
    assert table.notes[1] == f"2 pictures lie outside {folder / 'lists'}, such as {elsewhere / '1.png'}"


def test_a_table_that_tellapart_wrote_is_a_table(folder: Path) -> None:
    table = read(table_at(folder, "file,label,split,group,weight\na/1.png,x,train,g,2\nb/1.png,y,test,,1\n"))
    again = read(table_at(folder, table.to_csv(), "pictures.csv"))
    assert again.to_csv() == table.to_csv()


def test_column_of_the_name_image_that_is_text(folder: Path) -> None:
    path = table_at(folder, "image,file,label\na brown dog,a/1.png,dog\na red bird,b/1.png,bird\n")
    assert names(read(path), folder) == ["a/1.png", "b/1.png"]
    path = table_at(folder, "image,label\na brown dog,dog\na red bird,bird\n")
    assert message(path) == (
        f"{path}: column 'image' holds text, such as 'a brown dog', 'a red bird', and no paths of files in "
        f"{folder} and {Path.cwd()}. Name the column of paths: --path-column (Columns(path=...)); the others are 'label'."
    )


# Several labels ------------------------------------------------------------------------------------------------------


def test_several_labels_in_a_cell(folder: Path) -> None:
    path = table_at(folder, "file,tags\na/1.png,cat; indoor;cat\na/2.png,dog\na/3.png,\n")
    table = read(path, columns=Columns(label_sep=";"))
    assert (table.multi_label, table.labels) == (True, ("cat|indoor", "dog", ""))
    assert "a picture may have several labels; 1 picture has none, and counts as such" in table.notes
    plain = read(path)
    assert (plain.multi_label, plain.labels) == (False, ("cat; indoor;cat", "dog"))
    assert "labels such as 'cat; indoor;cat' are one label each; if they are several: --label-sep ';'" in plain.notes


def test_json_lists_are_several_labels(folder: Path) -> None:
    cell = json.dumps(["cat", "indoor"]).replace('"', '""')
    table = read(table_at(folder, f'file,tags\na/1.png,"{cell}"\na/2.png,"[""dog""]"\n'))
    assert (table.multi_label, table.labels) == (True, ("cat|indoor", "dog"))


def test_an_empty_list_says_none_and_an_empty_cell_says_nothing(folder: Path) -> None:
    table = read(table_at(folder, 'file,tags\na/1.png,"[""cat""]"\na/2.png,[]\na/3.png,\n'))
    assert (table.multi_label, table.labels) == (True, ("cat", ""))
    assert [skip.reason for skip in table.skipped] == ["no label: row 4"]


def test_a_bar_within_one_of_several_labels_is_refused(folder: Path) -> None:
    path = table_at(folder, "file,tags\na/1.png,cat|dog;owl\n")
    assert "the label 'cat|dog' holds a '|', which stands between several labels" in message(path, Columns(label_sep=";"))


# Rows that are no pictures -------------------------------------------------------------------------------------------


def test_what_a_row_lacks_is_named_with_its_number(folder: Path) -> None:
    path = table_at(
        folder,
        'file,label\na/1.png,cat\n\na/2.png,\na/gone.png,cat\n,dog\nb/1.png,NaN\nhttp://x.org/1.png,dog\n"b/2.png","two\nlines"\n',
    )
    table = read(path)
    assert (names(table, folder), table.labels) == (["a/1.png", "b/2.png"], ("cat", "two\nlines"))
    assert table.skipped == (
        Skipped(f"{folder}/a/2.png", "no label: row 4"),
        Skipped(f"{folder}/a/gone.png", "no such file: row 5", kind=UNREADABLE),
        Skipped(f"row 6 of {path}", "no path: row 6"),
        Skipped(f"{folder}/b/1.png", "no label: row 7"),
        Skipped("http://x.org/1.png", "a link, not a file: row 8"),
    )
    assert table.account() == "7 files = 2 kept + 2 no label + 1 no such file + 1 no path + 1 a link, not a file"


def test_rows_that_repeat_count_once(folder: Path) -> None:
    table = read(table_at(folder, "file,label\n" + "a/1.png,cat\n" * 8 + "b/1.png,dog\n"))
    assert len(table) == 2
    assert "7 rows repeat an earlier one and count once: 3, 4, 5, 6, 7 ..." in table.notes


def test_a_picture_under_two_labels_is_kept_under_both_and_said(folder: Path) -> None:
    table = read(table_at(folder, "file,label\na/1.png,cat\nb/1.png,dog\na/1.png,dog\n"))
    assert table.labels == ("cat", "dog", "dog")
    assert table.notes[1] == (
        f"1 row gives a picture another label, and both are kept: {folder}/a/1.png is 'cat' in row 2 and 'dog' in row 4"
    )


def test_a_label_column_that_counts_is_said(folder: Path) -> None:
    rows = [f"{label}/{number}.png,{place}" for place, (label, number) in enumerate((x, n) for x in "ab" for n in (1, 2, 3))]
    table = read(table_at(folder, "file,label\n" + "\n".join(rows)))
    assert "every row has a label of its own: is the label column an index?" in table.notes


def test_a_constant_column_is_no_label(folder: Path) -> None:
    listed = table_at(folder, "file,site,kind\na/1.png,home,cat\na/2.png,home,cat\nb/1.png,home,dog\n")
    assert read(listed).labels == ("cat", "cat", "dog")


def test_marked_cells_are_read_without_the_mark(folder: Path, make_files: MakeFiles) -> None:
    make_files(folder, ["=x.png", "'@y.png", "z.png"])
    listed = table_at(folder, "file,label\n'=x.png,'-1\n''@y.png,'-1\nz.png,plain\n")
    table = read(listed)
    assert names(table, folder) == ["=x.png", "'@y.png", "z.png"]
    assert table.labels == ("-1", "-1", "plain")


@pytest.mark.parametrize(("yes", "no"), [("TRUE", "FALSE"), ("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("1", "0")])
def test_a_column_a_class_is_said_to_be_one(folder: Path, yes: str, no: str) -> None:
    said = message(table_at(folder, f"file,cat,dog\na/1.png,{yes},{no}\na/2.png,{yes},{no}\nb/1.png,{no},{yes}\n"))
    first, second = sorted((yes, no))
    assert f"columns 'cat', 'dog' each say {first!r} or {second!r}: a column a class, it seems. Write the classes" in said
    one = read(table_at(folder, f"file,cat\na/1.png,{yes}\na/2.png,{yes}\nb/1.png,{no}\n"))
    assert one.labels == (yes, yes, no)


def test_a_split_that_says_yes_and_no_is_said(folder: Path) -> None:
    said = message(table_at(folder, "file,label,split\na/1.png,a,WAHR\na/2.png,a,WAHR\nb/1.png,b,FALSCH\n"))
    assert "column 'split' holds 'WAHR' (2 rows, the first is row 2), 'FALSCH' (1 row, the first is row 4)." in said
    assert "It says yes and no, but not to what. Splits are train" in said


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "list.csv is empty"),
        ("file,label\n", "list.csv holds a header and no rows"),
        ("file,label,label\na/1.png,x,y\n", "1 name stands over several columns: 'label'. Rename one."),
        ("file,label\nnone.png,x\n", "none of the files in column 'file' is there, such as 'none.png'; looked in "),
        ("file,label\n,x\n", "column 'file' is empty"),
        (
            "url,label\nhttps://x.org/1.jpg,cat\nhttps://x.org/2.jpg,cat\n",
            "column 'url' holds links, such as 'https://x.org/1.jpg'",
        ),
        ("image,label\nhttps://x.org/1.jpg,cat\n", "Fetch them first: tellapart collect LINKS --out FOLDER"),
        (
            "file,image,label\na/1.png,a/2.png,x\n",
            "several columns hold paths: 'file' (100% of its values are files), 'image' (100%",
        ),
        (
            "file,label,class\na/1.png,x,1\n",
            "several columns could hold the labels, by the first 1 row: 'label' (1 different value), 'class'",
        ),
        (
            "file,n,m\na/1.png,x,1\na/2.png,x,1\n",
            "several columns could hold the labels, by the first 2 rows: 'n' (1 different value), 'm'",
        ),
        ("file,Unnamed: 0\na/1.png,0\na/2.png,0\n", "no column holds labels; there are 'Unnamed: 0', of which none repeats"),
        ("file\na/1.png\n", "no column holds labels; there is no other column. Name it: --label-column"),
        (
            "number,colour\n1,red\n2,red\n",
            "no column holds paths of pictures; there are 'number', 'colour'. Name it: --path-column",
        ),
        (
            "file,label,split,subset\na/1.png,x,train,train\n",
            "'split', 'subset' could each be the split. Name one: --split-column",
        ),
        ("file,label,split\na/1.png,x,train\na/2.png,x,Usage\na/3.png,x,Usage\n", "holds 'Usage' (2 rows, the first is row 3)"),
        (
            "file,label,weight\na/1.png,x,1\na/2.png,x,heavy\na/3.png,x,-1\n",
            "2 weights in column 'weight' are no numbers above 0: ",
        ),
        ("file,label,weight\na/1.png,x,0\n", "row 2 has '0'"),
        ("file,label\na/1.png,x\na/2,x.png,y\n", "1 row has more cells than the 2 of the first row: row 3 has 3. Put cells"),
        ('file,label\na/1.png,x\n"a/2.png,x\n', "list.csv, row 3: unexpected end of data. A quote that is not closed"),
        ("file,label\na/1.png,\na/2.png,nan\n", "no row is a picture with a label (2 no label), such as "),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "list.csv is no text table: it holds zero bytes"),
    ],
)
def test_what_cannot_be_understood_says_what_was_found(text: str | bytes, said: str, folder: Path) -> None:
    assert said in message(table_at(folder, text))


def test_a_column_that_is_not_there(folder: Path) -> None:
    path = table_at(folder, "file,label\na/1.png,x\n")
    assert message(path, Columns(label="labl")) == f"unknown column of {path} 'labl'; did you mean 'label'?"


def test_links_among_files_are_no_reason_to_stop(folder: Path) -> None:
    table = read(table_at(folder, "image,url,label\na/1.png,https://x.org/1.png,cat\nb/1.png,https://x.org/2.png,dog\n"))
    assert names(table, folder) == ["a/1.png", "b/1.png"]


def test_sources_that_are_none(folder: Path) -> None:
    assert message(folder / "gone.csv") == f"no such file: {folder}/gone.csv"
    assert message(42).startswith("cannot read pictures from a int; give a folder of class folders")
    assert "is a file of no kind that holds labelled pictures" in message(folder / "a/1.png")
    (folder / "x.tar.gz").write_bytes(b"x")
    assert message(folder / "x.tar.gz") == f"{folder}/x.tar.gz is packed (.tar.gz); unpack it first, and give what was in it"
    assert "columns are chosen of tables only" in message(folder, Columns(label="x"))


# Encodings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "mark", "note"),
    [
        ("utf-8", b"", ""),
        ("utf-8", codecs.BOM_UTF8, ""),
        ("utf-16-le", codecs.BOM_UTF16_LE, "its text is utf-16, not UTF-8"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "its text is utf-16, not UTF-8"),
        ("utf-16-le", b"", "its text is utf-16-le, not UTF-8"),
        ("utf-16-be", b"", "its text is utf-16-be, not UTF-8"),
        ("utf-32-le", codecs.BOM_UTF32_LE, "its text is utf-32, not UTF-8"),
        ("cp1252", b"", "its text is cp1252, not UTF-8"),
        ("latin-1", b"", "its text is cp1252, not UTF-8"),
    ],
)
def test_encodings_are_found_and_said(encoding: str, mark: bytes, note: str, folder: Path) -> None:
    text = "file,label\na/1.png,café\nb/1.png,naïve\n"
    table = read(table_at(folder, mark + text.encode(encoding)))
    assert table.labels == ("café", "naïve")
    assert (table.notes[0] if note else "") == note


def test_bytes_that_windows_does_not_know_are_latin_1(folder: Path) -> None:
    table = read(table_at(folder, b"file,label\na/1.png,caf\xe9\x81\n"))
    assert (table.labels, table.notes[0]) == (("caf\xe9\x81",), "its text is latin-1, not UTF-8")


# Parquet and data frames ---------------------------------------------------------------------------------------------


def test_a_parquet_file(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paths = ["a/1.png", "a/2.png", "b/1.png", None]
    rows = pyarrow.table({"file": paths, "label": [["cat", "dog"], ["dog"], ["cat"], []], "fold": [1.5, 2.5, 3.5, 4.5]})
    parquet.write_table(rows, folder / "list.parquet")
    table = read(folder / "list.parquet")
    assert (table.multi_label, table.labels) == (True, ("cat|dog", "dog", "cat"))
    assert [skip.reason for skip in table.skipped] == ["no path: row 3"]
    (folder / "list.parquet").write_bytes(b"PAR1 not really")
    assert "list.parquet is no readable Parquet file: " in message(folder / "list.parquet")


def test_encoded_pictures_within_a_parquet_file(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    files = [folder / "a/1.png", folder / "b/1.png"]
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    parquet.write_table(pyarrow.table({"image": cells, "label": ["cat", "dog"]}), folder / "train.parquet")
    table = read(folder / "train.parquet")
    assert table.sha256 == read(table_at(folder, "file,label\na/1.png,cat\nb/1.png,dog\n")).sha256
    assert [Path(path).name[64:] for path in table.paths] == [".tar#0000000.png", ".tar#0000001.png"]


@pytest.mark.slow  # importing pandas takes seconds
def test_a_data_frame(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    paths = [str(folder / name) for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png")]
    frame = pandas.DataFrame({"path": paths, "y": [1.0, None, 2.0, 2.0], 7: pandas.Categorical(["u", "u", "v", "v"])})
    table = read(frame)
    assert (table.labels, table.notes[-1]) == (("1", "2", "2"), "labels are the numbers 1 to 2, taken as they are")
    assert table.skipped == (Skipped(paths[1], "no label: row 1"),)
    assert read(frame, columns=Columns(label="7")).labels == ("u", "u", "v", "v")
    assert message(frame.head(0)) == "the data frame holds no rows"


# Predicting ----------------------------------------------------------------------------------------------------------


def test_the_pictures_that_a_table_names_need_no_labels(folder: Path) -> None:
    pictures, others = list_members(table_at(folder, "file\na/1.png\na/1.png\nb/gone.png\nb/1.png\n")) or ([], [])
    assert pictures == [f"{folder}/a/1.png", f"{folder}/b/1.png"]
    assert others == [Skipped(f"{folder}/b/gone.png", "no such file: row 4", kind=UNREADABLE)]
    assert list_members(folder / "a/1.png") is None
    assert list_members(folder) is None


# Many, and anything --------------------------------------------------------------------------------------------------


@pytest.mark.slow  # some 10 s
def test_two_million_rows(folder: Path) -> None:
    rows = [
        f"{label}/{number}.png,{label},{place % 5}"
        for place, (label, number) in enumerate((x, n) for x in "ab" for n in (1, 2, 3))
    ]
    path = table_at(folder, "file,label,group\n" + "\n".join(rows * 333_334) + "\nb/1.png,c,0\n")
    table = read(path)
    assert table.labels == (*"aaabbb", "c")
    assert "1,999,998 rows repeat an earlier one and count once: 8, 9, 10, 11, 12 ..." in table.notes
    assert f"{folder}/b/1.png is 'b' in row 5 and 'c' in row 2000006" in table.notes[-1]


CELL = st.sampled_from(
    ["a/1.png", "a/2.png", "cat", "", " ", "nan", "../a/1.png", "http://x.org", "#", "a\nb", '"', "label", "0"]
)
ROWS = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=6)


@given(rows=ROWS, delimiter=st.sampled_from(",;\t|"), start=st.sampled_from([[], ["file", "label"], ["path", "class", "split"]]))
@settings(max_examples=60, deadline=None)
def test_any_rows_are_a_table_or_a_clear_error(
    rows: list[list[str]], delimiter: str, start: list[str], make_files: MakeFiles
) -> None:
    lines = [delimiter.join(json.dumps(cell) if "\n" in cell else cell for cell in row) for row in [start, *rows] if row]
    check_bytes("\n".join(lines).encode(), make_files)


@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfe\x00")
@example(content=b"\xff\xfef")
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_a_table_or_a_clear_error(content: bytes, make_files: MakeFiles) -> None:
    check_bytes(content, make_files)


def check_bytes(content: bytes, make_files: MakeFiles) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, ["a/1.png", "a/2.png"])
        try:
            table = read(table_at(folder, content))
        except (CallError, DataError):
            return
        assert len(table)
        assert all(table.labels)
        assert table.notes


def test_a_parquet_file_without_pyarrow_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert message(folder / "list.parquet") == "a Parquet file needs: pip install 'tellapart[tables]'"
