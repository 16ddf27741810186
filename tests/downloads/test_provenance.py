"""The table and the journal, whole, cut, edited or hostile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tellapart.downloads.lists import Entry
from tellapart.downloads.provenance import (
    COLUMNS,
    Journal,
    Outcome,
    account,
    read_journal,
    read_table,
    said,
    write_table,
)
from tellapart.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20)
ROWS = st.builds(
    lambda *texts: (
        Entry(texts[0], 3, texts[1], texts[2], texts[3]),
        Outcome(texts[4], texts[5], texts[6], "ab", 7, 0.25, texts[7]),
    ),
    *[TEXT] * 8,
)
ROW = (Entry("a.txt", 1, "http://a", "cat", "CC0"), Outcome("kept", "", "http://a/", "ab", 12, 0.5, "cat/ab.jpg"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(ROWS, max_size=4))
def test_rows_come_back_as_they_were(tmp_path: Path, rows) -> None:
    write_table(tmp_path / "t.csv", rows)
    assert read_table(tmp_path / "t.csv") == rows
    (tmp_path / "j").unlink(missing_ok=True)
    journal = Journal(tmp_path / "j")
    for row in rows:
        journal.add(row)
    journal.close()
    assert read_journal(tmp_path / "j") == rows


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    row = (Entry("=1.csv", 2, "http://a/1.jpg", "=HYPERLINK(1)", "@cc"), Outcome("kept", "-", path="=HYPERLINK(1)/1.jpg"))
    write_table(tmp_path / "t.csv", [row])
    assert "'=1.csv,2,http://a/1.jpg,,'=HYPERLINK(1),kept,'-,,0,0.0,'@cc,'=HYPERLINK(1)/1.jpg" in (tmp_path / "t.csv").read_text()
    assert read_table(tmp_path / "t.csv") == [row]


def test_a_journal_that_was_cut_or_edited_keeps_its_other_lines(tmp_path: Path) -> None:
    for _ in range(2):
        journal = Journal(tmp_path / "j")
        journal.add(ROW)
        journal.close()
        with (tmp_path / "j").open("ab") as file:
            file.write(b'["a.txt", 1, "http://cut')
    with (tmp_path / "j").open("ab") as file:
        file.write(b'\n{}\n[1,2]\nnull\n\xff\n["",[],"","","","","","",{},"","",""]\n' + b"[" * 100_000)
    assert read_journal(tmp_path / "j") == [ROW, ROW]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=100))
def test_any_bytes_are_a_journal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert read_journal(tmp_path / "j") == []


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", ",".join(COLUMNS) + "\n1,2\n", ",".join(COLUMNS) + "\na,x,,,,,,,,,,\n", "\udcff"]
)
def test_other_tables_are_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"is no table of collected links|cannot be read: "):
        read_table(tmp_path / "t.csv")


def test_accounts() -> None:
    assert account(Counter()) == "0 links = 0 kept"
    assert account(Counter(kept=7900, copy=100, http_404=412, timeout=1588)) == (
        "10,000 links = 7,900 kept + 100 copies + 1,588 timed out + 412 not found (404)"
    )
    assert [said(status) for status in ("http_404", "http_599", "needs_heif")] == [
        "not found (404)",
        "answered 599",
        "needs heif",
    ]
