"""Judging a run again: on its locked test part, or on other pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable, edited
from tellapart.errors import DataError
from tellapart.evaluation import LabelsReport, Report
from tellapart.evaluation.answers import write_answers
from tellapart.evaluation.judging import TTA_FACT, judge
from tellapart.evaluation.openings import count_openings, log_opening, openings_note
from tellapart.evaluation.report import percent
from tellapart.files import printable
from tellapart.progress import Progress, silent
from tellapart.runs.run import Run, part_notes, write_report
from tellapart.sources import GUESSED, Columns, read
from tellapart.words import counted


@dataclass(frozen=True)
class Evaluation:
    """A report and the page that shows it."""

    run: Path
    report: Report | LabelsReport
    page: Path

    def to_json(self) -> dict[str, Any]:
        """What `tellapart evaluate --json` prints."""
        return {"run": str(self.run), **self.report.to_json(), "report": str(self.page)}

    def text(self) -> str:
        """The result for a terminal: the figures, each class's, and where the page is."""
        names = {name: printable(name) for name in self.report.classes}
        width = max(map(len, names.values()))
        rows = [
            f"  {names[name]:{width}}  recall {percent(score.recall):>7}  precision {percent(score.precision):>7}  n = {score.n}"
            for name, score in self.report.per_class.items()
        ]
        notes = [f"note: {note}" for note in self.report.notes]
        views = [f"views: {self.report.facts[TTA_FACT]}"] if TTA_FACT in self.report.facts else []
        files = f"files: {self.report.facts['Files']}"
        return "\n".join(
            [f"{self.report.subject}: {self.report.summary()}", *rows, *views, files, *notes, f"report: {self.page}"]
        )


def evaluate(
    run: Run,
    source: str | Path | None = None,
    *,
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    tta: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """How a run's classifier does on its locked test pictures (or validation, where it has none), or on another data set.

    Each time that the locked test pictures are judged is logged in the run's folder, and the report says how often it was.
    Another data set is whatever `read` takes, with its `columns` and its journal of `edits`; where it is split, its test part is
    taken, else its validation part, else all of it. With `tta` each answer is the mean over views of its picture, and the report
    says what that costs and gains. The page and figures are written into the run's folder.
    Raises DataError for labels that the classifier does not know.
    """
    table = run.table
    if source is not None:
        path = Path(source).absolute()
        table = edited(read(path, columns=columns, progress=progress), path, edits=edits)
    part = next((name for name in ("test", "valid") if name in table.splits), "")
    chosen = table.in_split(part) if part else table
    is_locked = source is None and part == "test"
    notes = table.notes if source is not None else part_notes(table, part, is_trained=run.is_trained)
    if is_locked:
        notes = (*notes, openings_note(count_openings(run.path)))
    words = {"test": "test pictures", "valid": "validation pictures", "": "pictures"}[part]
    facts = {"Files": run.facts["counts"] if source is None else table.account()}
    other = "" if source is None else Path(source).resolve().name
    subject = f"{words} of {other}" if other else words
    report = judge(
        run.classifier, chosen, title=run.path.name, subject=subject, facts=facts, notes=notes, tta=tta, progress=progress
    )
    if not report.n:
        reason = report.failures[0][1] if report.failures else "there are none"
        raise DataError(f"none of {counted(len(chosen), 'picture')} can be judged: {reason}. Have they moved? Give their folder.")
    if is_locked:
        log_opening(run.path, n=report.n, accuracy=report.accuracy)
    if source is None and not tta:  # of the classifier as it is served
        write_answers(run.path, part, report, chosen)
    mark = f"of-{other}-{sha256(bytes(Path(source).resolve())).hexdigest()[:6]}" if source is not None else part
    page = run.path / f"evaluation-{mark}.html"
    report = replace(report, notes=(*report.notes, *_overlap(run, chosen, report))) if source is not None else report
    write_report(report, page, progress)
    return Evaluation(run.path, report, page)


def _overlap(run: Run, table: ImageTable, report: Report | LabelsReport) -> tuple[str, ...]:
    """A remark where pictures that were judged had been trained on, with the figures of the others."""
    trained = set(run.table.in_split("train").sha256)
    seen = {path for path, digest in zip(table.paths, table.sha256, strict=True) if digest in trained}
    if not seen:
        return ()
    unseen = [row for row, one in enumerate(report.judged) if one.path not in seen]
    others = replace(report, judged=tuple(report.judged[row] for row in unseen), probabilities=report.probabilities[unseen])
    of_others = f"of the others: {others.summary()}" if others.n else "there are no others"
    trained_on = f"{len(seen)} of {counted(len(table), 'picture')} {'was' if len(seen) == 1 else 'were'} trained on"
    return (f"{trained_on}: of that the accuracy says nothing; {of_others}",)
