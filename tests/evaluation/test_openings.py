"""The log of a locked test part."""

from __future__ import annotations

import json
from pathlib import Path

from tellapart.evaluation.openings import count_openings, log_opening, openings_note


def test_each_opening_is_a_line(tmp_path: Path) -> None:
    assert count_openings(tmp_path) == 0
    log_opening(tmp_path, n=40, accuracy=0.875)
    log_opening(tmp_path, n=40, accuracy=None)
    lines = [json.loads(line) for line in (tmp_path / "test-openings.jsonl").read_text().splitlines()]
    assert [(line["n"], line["accuracy"]) for line in lines] == [(40, 0.875), (40, None)]
    assert list(lines[0]) == ["when", "who", "n", "accuracy"]
    assert count_openings(tmp_path) == 2


def test_a_line_that_was_cut_counts_and_spoils_none(tmp_path: Path) -> None:
    (tmp_path / "test-openings.jsonl").write_text('{"when": "2026')
    assert count_openings(tmp_path) == 1
    log_opening(tmp_path, n=1, accuracy=1.0)
    assert count_openings(tmp_path) == 2
    assert json.loads((tmp_path / "test-openings.jsonl").read_text().splitlines()[1])["n"] == 1


def test_the_note_says_how_often() -> None:
    assert openings_note(0) == "The test pictures were opened for the first time."
    assert openings_note(1).startswith("The test pictures were opened once before: ")
    assert openings_note(7).startswith("The test pictures were opened 7 times before: if anything was chosen by that, ")
