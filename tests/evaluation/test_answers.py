from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tellapart as ta
from tellapart.errors import BundleError
from tellapart.evaluation.answers import Answers, paired, read_answers, write_answers
from tellapart.runs import Run

ANSWERS = Answers(("a", "b", "c"), ("cat", "cat", "dog"), ("cat", "dog", "dog"), (0.9, 0.6, 0.75), (0.9, 0.4, 0.75))


def test_figures() -> None:
    assert (len(ANSWERS), ANSWERS.n_right, ANSWERS.accuracy) == (3, 2, 2 / 3)
    assert ANSWERS.interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert ANSWERS.is_right == {("a", "cat"): True, ("b", "cat"): False, ("c", "dog"): True}
    empty = Answers((), (), (), (), ())
    assert (empty.accuracy, empty.interval) == (None, None)
    assert Answers.from_csv(empty.to_csv()) == empty


def test_pictures_are_paired_by_content_and_label() -> None:
    relabelled = replace(ANSWERS, labels=("cat", "dog", "dog"), predicted=("dog", "dog", "dog"))
    assert paired(ANSWERS, relabelled) == [("cat", True, False), ("dog", True, True)]


def test_a_run_keeps_the_answers_of_its_report(run_folder: Path, tmp_path: Path) -> None:
    run = Run.load(run_folder)
    valid = run.table.in_split("valid")
    kept = write_answers(tmp_path, "valid", run.report, valid)
    again = read_answers(tmp_path, "valid")
    assert again is not None
    assert (again.sha256, again.labels, again.predicted) == (kept.sha256, kept.labels, kept.predicted)
    assert again.probability == pytest.approx(kept.probability, rel=1e-5)
    assert (len(kept), kept.n_right) == (run.report.n, run.report.n_right)
    assert set(kept.sha256) <= set(valid.sha256)
    assert read_answers(tmp_path, "test") is None


labels = st.text(st.characters(exclude_characters="\0"), min_size=1)
shares = st.floats(0, 1).map(lambda share: float(f"{share:.6g}"))


@given(st.lists(st.tuples(st.from_regex("[0-9a-f]{64}", fullmatch=True), labels, labels, shares, shares)))
def test_any_class_names_survive(rows: list[tuple[str, str, str, float, float]]) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * 5
    answers = Answers(*columns)
    assert Answers.from_csv(answers.to_csv()) == answers


def test_class_names_that_are_no_unicode_survive(tmp_path: Path, run_folder: Path) -> None:
    odd = replace(ANSWERS, labels=("caf\udce9", "=1+1", "dog"))
    (tmp_path / "answers-valid.csv").write_bytes(odd.to_csv().encode(errors="surrogateescape"))
    assert read_answers(tmp_path, "valid") == odd


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n",
        "sha256,label,predicted,probability,label_probability\na,cat,cat\n",
        "sha256,label,predicted,probability,label_probability\na,cat,cat,high,0.1\n",
        "sha256,label,predicted,probability,label_probability\na,cat,cat,nan,0.1\n",
        "sha256,label,predicted,probability,label_probability\na,cat,cat,7,0.1\n",
    ],
)
def test_what_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "answers-valid.csv").write_text(text)
    with pytest.raises(BundleError, match=r"answers-valid\.csv is damaged: .*Delete it: the run is then judged again\."):
        read_answers(tmp_path, "valid")


def test_they_count_as_the_report_of_the_public_call_does(run_folder: Path, tmp_path: Path) -> None:
    run = Run.load(run_folder)
    report: ta.Report = run.report
    assert Answers.of(report, run.table).accuracy == report.accuracy
    assert Answers.of(report, run.table).interval == report.interval
