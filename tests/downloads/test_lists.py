"""Lists of links in every form that people have them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.downloads.lists import ListColumns, read_lists
from tellapart.errors import CallError, DataError, TellapartError


def listed(folder: Path, name: str, content: str | bytes, **columns: str):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    entries, notes = read_lists([path], columns=ListColumns(**columns))
    return [(entry.row, entry.link, entry.label, entry.licence) for entry in entries], notes


def test_text_lists_take_their_name_as_the_class(tmp_path: Path) -> None:
    content = "\ufeffhttp://a/1.jpg\r\n\r\n# a comment\r\n  http://a/2 b.jpg  \r\nfile:///x"
    entries, notes = listed(tmp_path, "red pandas.txt", content)
    assert entries == [
        (1, "http://a/1.jpg", "red pandas", ""),
        (4, "http://a/2 b.jpg", "red pandas", ""),
        (5, "file:///x", "red pandas", ""),
    ]
    assert notes == ("red pandas.txt: 1 blank line and 1 comment passed over",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    entries, notes = listed(tmp_path, "l.txt", "http://a/é.jpg\nhttp://a/ü.jpg\n".encode(encoding))
    assert [link for _, link, *_ in entries] == ["http://a/é.jpg", "http://a/ü.jpg"]
    assert notes == (() if encoding == "utf-8-sig" else (f"l.txt: its text is {encoding}, not UTF-8",))


def test_columns_are_guessed_by_name_and_said(tmp_path: Path) -> None:
    table = 'id,Label,image_url,License,title\n1,cat,http://a/1.jpg,CC0,"two\nlines, and a comma"\n'
    table += "2,dog,http://a/2.jpg,CC BY,x\n3,cat\n"
    entries, notes = listed(tmp_path, "pets.csv", table)
    assert entries == [(2, "http://a/1.jpg", "cat", "CC0"), (3, "http://a/2.jpg", "dog", "CC BY"), (4, "", "cat", "")]
    assert notes == ("pets.csv: links from column 'image_url', classes from column 'Label', licences from column 'License'",)


def test_a_column_of_links_is_found_by_its_values(tmp_path: Path) -> None:
    entries, notes = listed(tmp_path, "l.csv", "url;photo;name\n1;http://a/1.jpg;x\n2;http://a/2.jpg;y\n")
    assert [link for _, link, *_ in entries] == ["http://a/1.jpg", "http://a/2.jpg"]
    assert notes == ("l.csv: links from column 'photo', class 'l' (its name)",)


def test_columns_may_be_named(tmp_path: Path) -> None:
    table = "label,kind,thumb,full\ncat,big,http://a/t.jpg,http://a/f.jpg\n"
    assert listed(tmp_path, "l.csv", table, link="full", label="kind")[0] == [(2, "http://a/f.jpg", "big", "")]
    assert listed(tmp_path, "l.csv", table, link="full", label="")[0] == [(2, "http://a/f.jpg", "l", "")]
    with pytest.raises(CallError, match=r"unknown column in l\.csv: 'ful'; did you mean 'full'"):
        listed(tmp_path, "l.csv", table, link="ful")


def test_tables_without_a_header(tmp_path: Path) -> None:
    entries, notes = listed(tmp_path, "l.tsv", "http://a/1.jpg\tcat\nhttp://a/2.jpg\tdog\n", label="2")
    assert entries == [(1, "http://a/1.jpg", "cat", ""), (2, "http://a/2.jpg", "dog", "")]
    assert notes[0] == "l.tsv: its first row is a link, so its columns have no names; they are called 1, 2, ..."


def test_one_column_of_links_with_commas(tmp_path: Path) -> None:
    assert listed(tmp_path, "l.csv", "url\nhttp://a/1,2.jpg\nhttp://a/3.jpg\n")[0] == [
        (2, "http://a/1,2.jpg", "l", ""),
        (3, "http://a/3.jpg", "l", ""),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("l.json", ["http://a/1.jpg", "http://a/2.jpg"]),
        ("l.json", [{"url": "http://a/1.jpg", "label": "l"}, {"url": "http://a/2.jpg", "label": "l"}]),
        ("l.json", {"l": ["http://a/1.jpg", "http://a/2.jpg"]}),
    ],
)
def test_json_lists(tmp_path: Path, name: str, value) -> None:
    expected = [(1, "http://a/1.jpg", "l", ""), (2, "http://a/2.jpg", "l", "")]
    assert listed(tmp_path, name, json.dumps(value))[0] == expected
    assert listed(tmp_path, name, "\ufeff" + json.dumps(value))[0] == expected


def test_json_lines(tmp_path: Path) -> None:
    text = '{"url": "http://a/1.jpg", "class": "cat"}\n\n{"url": null, "class": 3}\n'
    assert listed(tmp_path, "l.jsonl", text)[0] == [(1, "http://a/1.jpg", "cat", ""), (2, "", "3", "")]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("l.txt", "# nothing\n\n", "holds no links: it is empty, or all its lines are comments"),
        ("l.txt", b"http://a\n\0\0", "holds zero bytes"),
        ("l.csv", "", "holds no links"),
        ("l.csv", 'url\n"http://a', "row 2: unexpected end of data"),
        ("l.csv", "a,b\n1,2\n", "no column holds links; its columns: a, b. Name one: --url-column NAME"),
        ("l.json", "[1, 2", "not JSON: Expecting"),
        ("l.json", "[" * 100_000, "not JSON: "),
        ("l.json", '"http://a"', "holds a JSON str; a list of links or objects, or lists by class, is wanted"),
        ("l.jsonl", '"http://a"\n{\n', "line 2: not JSON: Expecting property name"),
    ],
)
def test_damaged_lists_say_where(tmp_path: Path, name: str, content: str | bytes, text: str) -> None:
    with pytest.raises(TellapartError) as error:
        listed(tmp_path, name, content)
    assert text in str(error.value)


def test_missing_lists_and_folders(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="is no file; give a text, CSV or JSON file of links"):
        read_lists([tmp_path / "none.txt"])
    with pytest.raises(CallError, match="is a folder; give the lists in it, one by one"):
        read_lists([tmp_path])
    (tmp_path / "l.txt").write_text("http://a\n")
    with pytest.raises(CallError, match="is a plain list of links without columns"):
        read_lists([tmp_path / "l.txt"], columns=ListColumns(label="x"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30), min_size=1, max_size=8
    )
)
def test_every_line_of_a_text_list_is_an_entry_a_comment_or_blank(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "l.txt"
    path.write_text("\n".join(["http://a/first", *lines]), encoding="utf-8", newline="")
    wanted = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    assert [entry.link for entry in read_lists([path])[0]] == ["http://a/first", *wanted]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".txt", ".csv", ".tsv", ".json", ".jsonl"]))
def test_any_bytes_are_a_list_or_a_clear_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"l{suffix}"
    path.write_bytes(content)
    try:
        entries, _ = read_lists([path])
    except (CallError, DataError):
        return
    assert entries


def test_long_tables_are_read_beyond_the_rows_that_the_guess_looks_at(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("url,label\n" + "".join(f"http://a/{n}.jpg,{n % 7}\n" for n in range(20_000)))
    entries, _ = read_lists([path])
    assert len(entries) == 20_000
    assert entries[-1].row == 20_001
