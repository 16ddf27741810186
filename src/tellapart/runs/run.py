"""A finished training: what its folder holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable, find_split_leaks
from tellapart.errors import BundleError, CallError, DataError
from tellapart.evaluation import LabelsReport, Report
from tellapart.evaluation.judging import judge
from tellapart.files import read_json, write_json
from tellapart.inference import Classifier
from tellapart.inference.classifiers import RUN_FILE, refuse_absent
from tellapart.inference.manifests import FILE_NAME as MANIFEST_FILE
from tellapart.progress import Progress, silent
from tellapart.training import Recipe

FORMAT = 1  # of a run's folder: run.json and the files that it stands for
TABLE_FILE = "pictures.csv"
FOLDS_FILE = "fold_probabilities.safetensors"
PAGE_FILE = "report.html"
NOTE_PENALTY = "The head's penalty was chosen by cross-validation inside the training part"
NOTE_VALID = f"{NOTE_PENALTY}; nothing was chosen on these pictures."
NOTE_THRESHOLDS = "Each label's threshold was chosen on these pictures, as the one with the best F1, so their figures flatter it."
NOTE_TRAINED = "Which epoch's network is kept was chosen on these pictures, so their accuracy flatters it a little."
NOTE_TEST = "These pictures were locked away from the training."


@dataclass(frozen=True)
class Run:
    """A finished training: `path` holds its bundle, table, report and figures."""

    path: Path
    recipe: Recipe
    table: ImageTable  # its pictures with their splits
    facts: dict[str, Any] = field(repr=False)  # run.json: source, counts, seconds, warnings
    loaded: Classifier | None = field(default=None, repr=False, compare=False)  # where a training has just loaded it
    judged: Report | LabelsReport | None = field(default=None, repr=False, compare=False)  # where a training has just judged it

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run in a folder; raises CallError where nothing is there, BundleError where it is none, unfinished or damaged."""
        folder = Path(path)
        refuse_other(folder)
        facts = read_facts(folder)
        if facts["state"] != "finished":
            raise BundleError(f"the run {folder} is unfinished. Go on with it: tellapart train --resume {folder}")
        try:
            table = ImageTable.from_csv((folder / TABLE_FILE).read_bytes().decode(errors="surrogateescape"))
        except (OSError, ValueError, DataError) as error:
            raise BundleError(f"{folder / TABLE_FILE} is damaged: {error}. Train again.") from error
        return cls(folder, Recipe.from_json(facts["recipe"]), table, facts)

    @cached_property
    def classifier(self) -> Classifier:
        return self.loaded or Classifier.load(self.path)

    @cached_property
    def report(self) -> Report | LabelsReport:
        """How the classifier does on the validation pictures, computed through its bundle."""
        files, notes = self.facts["counts"], self.facts.get("notes", ())
        return self.judged or judge_valid(
            self.classifier, self.table, files, notes, title=self.path.name, is_trained=self.is_trained
        )

    @property
    def is_trained(self) -> bool:
        """Whether more than a head was trained."""
        return bool(self.facts.get("epochs"))

    @property
    def page(self) -> Path:
        """The HTML report."""
        return self.path / PAGE_FILE

    def to_json(self) -> dict[str, Any]:
        """What `tellapart train --json` prints."""
        report = self.report.to_json()
        figures = {name: report[name] for name in ("accuracy", "error_rate", "accuracy_interval", "balanced_accuracy")}
        n_of = {f"n_{name}": len(self.table.in_split(name)) for name in ("train", "valid", "test")}
        shown = ("counts", "skipped", "seconds", "runtime", "n_cached", "warnings")
        return {
            "run": str(self.path),
            "classes": list(self.classifier.classes),
            **n_of,
            **figures,
            "arch": self.recipe.arch,
            "report": str(self.page),
            **{name: self.facts[name] for name in shown},
            "notes": self.facts.get("notes", []),  # runs of 0.1 have none
            "epochs": self.facts.get("epochs", []),
            "plan": self.facts.get("plan"),
            "continuity": self.facts.get("continuity"),
        }

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def judge_valid(
    classifier: Classifier,
    whole: ImageTable,
    files: str,
    notes: Sequence[str],
    *,
    title: str,
    is_trained: bool,
    progress: Progress = silent,
) -> Report | LabelsReport:
    """The report on the validation pictures; `files` says where every file went, `notes` how they were read and split."""
    n_of = {name: whole.splits.count(name) for name in ("train", "valid", "test")}
    split = f"{n_of['train']:,} to train on, {n_of['valid']:,} to judge on, {n_of['test']:,} locked away"
    valid, subject, facts = whole.in_split("valid"), "validation pictures", {"Files": files, "Split": split}
    notes = (*part_notes(whole, "valid", is_trained=is_trained), *notes)
    return judge(classifier, valid, title=title, subject=subject, facts=facts, notes=notes, progress=progress)


def part_notes(table: ImageTable, part: str, *, is_trained: bool) -> tuple[str, ...]:
    """What a reader of figures on a held-back part must know: how far it was held back."""
    leaks = [leak.text() for leak in find_split_leaks(table) if (leak.part, leak.held) == ("train", part)]
    if leaks:
        return (f"{leaks[0]}, and were trained on, as asked: of these the accuracy says nothing.",)
    if part == "valid" and table.multi_label:
        return (NOTE_TRAINED if is_trained else f"{NOTE_PENALTY}.", NOTE_THRESHOLDS)
    return (NOTE_TEST if part == "test" else NOTE_TRAINED if is_trained else NOTE_VALID,)


def refuse_other(folder: Path) -> None:
    """Raise CallError where nothing, or a bundle without its run, is in the folder, and BundleError for what is no run."""
    refuse_absent(folder)
    if (folder / RUN_FILE).is_file():
        return
    if (folder / MANIFEST_FILE).is_file():
        its_run = folder.parent if (folder.parent / RUN_FILE).is_file() else "the folder that `tellapart train` made"
        raise CallError(f"{folder} is a bundle, which only predicts; what was held back is in its run. Give the run: {its_run}")
    raise BundleError(f"{folder} is not a run: there is no {RUN_FILE} in it. Train one: tellapart train DATA")


def read_facts(folder: Path) -> dict[str, Any]:
    """run.json; raises BundleError where it lacks what every run has."""
    facts = read_json(folder / RUN_FILE)
    if isinstance(found := facts.get("format"), int) and found > FORMAT:
        raise BundleError(f"the run {folder} is of format {found}; this Tellapart reads up to {FORMAT}: pip install -U tellapart")
    kinds: dict[str, Any] = {"format": int, "state": str, "source": str | None, "recipe": dict, "drop": list}
    if facts.get("state") == "finished":
        kinds |= {"counts": str, "skipped": list, "seconds": dict, "runtime": str, "n_cached": int, "warnings": list}
    for name, kind in kinds.items():
        if name not in facts or not isinstance(facts[name], kind):
            raise BundleError(f"{folder / RUN_FILE} is damaged: {name!r} is missing or of the wrong kind. Train again.")
    return facts


def write_report(report: Report | LabelsReport, page: Path, progress: Progress) -> None:
    """Write the report as an HTML page, and beside it the same as JSON."""
    from tellapart.evaluation.html import write_html  # imports jinja2

    write_html(report, page, progress=progress)
    write_json(page.with_suffix(".json"), report.to_json())
