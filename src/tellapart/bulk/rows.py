"""Predictions as lines of a file: CSV, or JSON where the file is called .jsonl."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tellapart.data.table import LABEL_MARK
from tellapart.files import cell_text, table_writer
from tellapart.inference import Prediction

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
FAILURE_COLUMNS = ("path", "error")


@dataclass(frozen=True)
class RowFormat:
    """How predictions are written, and how those that failed are found again in what was written."""

    name: str
    header: bytes
    rows: Callable[[Iterable[Prediction]], bytes]
    failures: Callable[[bytes], Iterator[tuple[str, str]]]  # (path, error) as cells of a table


def format_of(out: str, classes: Sequence[str], *, several: bool) -> RowFormat:
    """The format of a file by its suffix. With `several` labels a picture a table has a column of all of them, "|" between."""
    if Path(out).suffix.lower() in JSON_SUFFIXES:
        return RowFormat("jsonl", b"", _json_lines, _failures_in_json)
    all_labels = ["labels"] if several else []
    names = ["path", "label", *all_labels, "probability", "unknown", "error", *(f"p_{name}" for name in classes)]
    rows = partial(_csv_rows, n_classes=len(classes), several=several)
    return RowFormat("csv", table([names]), rows, partial(_failures_in_csv, column=names.index("error")))


def table(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows of a CSV file in UTF-8; what in a file's name is no valid Unicode stands as an escape."""
    text = io.StringIO()
    table_writer(text).writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def failure_row(path: str, error: str) -> tuple[str, str]:
    """The cells of a failure."""
    return cell_text(path), cell_text(error)


def _csv_rows(predictions: Iterable[Prediction], *, n_classes: int, several: bool) -> bytes:
    return table(_cells(one, n_classes=n_classes, several=several) for one in predictions)


def _cells(one: Prediction, *, n_classes: int, several: bool) -> list[object]:
    shares = one.probabilities.values() if not one.error else [""] * n_classes
    labels = [cell_text(LABEL_MARK.join(one.labels))] if several else []
    path, label, error = (cell_text(text or "") for text in (one.path, one.label, one.error))
    return [path, label, *labels, one.probability, one.unknown, error, *shares]


def _failures_in_csv(content: bytes, *, column: int) -> Iterator[tuple[str, str]]:
    for cells in csv.reader(io.StringIO(content.decode(), newline="")):
        if cells[column]:
            yield cells[0], cells[column]


def _json_lines(predictions: Iterable[Prediction]) -> bytes:
    return b"".join(json.dumps(one.to_json()).encode() + b"\n" for one in predictions)


def _failures_in_json(content: bytes) -> Iterator[tuple[str, str]]:
    for line in content.splitlines():
        facts = json.loads(line)
        if facts["error"]:
            yield failure_row(facts["path"], facts["error"])
