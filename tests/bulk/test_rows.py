"""Predictions as lines, and the failures that are found again in them."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tellapart.bulk.rows import format_of
from tellapart.inference import Prediction

ODD = ["=1+1.jpg", 'new\nline,".jpg', "\udcff.jpg", "zwölf 🦉\u2028.jpg", "plain.jpg"]


def predictions(*, error: str | None = None) -> list[Prediction]:
    facts = {} if error else {"label": "owl", "probability": 0.75, "probabilities": {"owl": 0.75, "cat": 0.25}, "unknown": False}
    return [Prediction(path, error=error, labels=() if error else ("owl", "cat"), **facts) for path in ODD]  # type: ignore[arg-type]


def test_a_table_has_a_row_each() -> None:
    rows = format_of("x.csv", ["owl", "cat"], several=True)
    content = (rows.header + rows.rows(predictions()) + rows.rows(predictions(error="=bad"))).decode()
    read = list(csv.reader(io.StringIO(content, newline="")))
    assert read[0] == ["path", "label", "labels", "probability", "unknown", "error", "p_owl", "p_cat"]
    assert read[1] == ["'=1+1.jpg", "owl", "owl|cat", "0.75", "False", "", "0.75", "0.25"]
    assert read[6] == ["'=1+1.jpg", "", "", "", "", "'=bad", "", ""]
    assert [row[0] for row in read[2:6]] == [ODD[1], "\\udcff.jpg", ODD[3], ODD[4]]


def test_json_lines_are_what_is_printed() -> None:
    rows = format_of("x.JSONL", ["owl", "cat"], several=False)
    lines = rows.rows(predictions()).split(b"\n")
    assert (rows.header, lines.pop()) == (b"", b"")
    assert [json.loads(line) for line in lines] == [one.to_json() for one in predictions()]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_failures_are_found_in_what_was_written(name: str) -> None:
    rows = format_of(name, ["owl", "cat"], several=False)
    content = rows.rows([*predictions(), *predictions(error="not a picture: text")])
    found = list(rows.failures(content))
    assert [error for _, error in found] == ["not a picture: text"] * 5
    assert found[0][0] == "'=1+1.jpg"
    assert found[1][0] == ODD[1]


def test_no_name_of_a_file_begins_a_row() -> None:
    rows = format_of("x.csv", ["owl", "cat"], several=False)
    content = rows.rows([Prediction("pics/a\r=HYPERLINK(1).jpg", error="not a picture")])
    assert [*rows.failures(content)] == [("pics/a\r=HYPERLINK(1).jpg", "not a picture")]
    assert len([*csv.reader(io.StringIO(content.decode(), newline=""))]) == 1
