"""`tellapart demo`: the whole loop on coins that it draws itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tellapart.checking import check
from tellapart.checks import DataReport
from tellapart.cleaning import Cleaning, clean
from tellapart.evaluation import LabelsReport, Report
from tellapart.evaluation.report import percent
from tellapart.evaluations import evaluate
from tellapart.files import refuse_used
from tellapart.images.samples import Sample, draw_sample
from tellapart.inference import Prediction
from tellapart.predictions import name_width, row_text
from tellapart.progress import Progress, silent
from tellapart.runs import Run, train
from tellapart.training import Recipe
from tellapart.words import counted

N_SHOWN = 6
N_FRESH = 100  # a class, drawn without faults to judge both runs on: 300 pictures know an error of 2 % to about 1.6 points
TAKEN = ("broken", "copies", "mixed_labels", "wrong_label", "off_topic")  # findings that the demo takes without a look


@dataclass(frozen=True)
class Demo:
    """What the demo did: the pictures it drew, a run on them, what it found in them, and a run after cleaning.

    `fresh_before` and `fresh_after` judge both runs on pictures that were drawn afterwards, without faults.
    """

    sample: Sample
    before: Run
    found: DataReport
    cleaning: Cleaning
    run: Run
    fresh_before: Report | LabelsReport
    fresh_after: Report | LabelsReport
    predictions: tuple[Prediction, ...]

    def to_json(self) -> dict[str, Any]:
        """What `tellapart demo --json` prints: the second run's facts, and how it came to it."""
        return {
            "data": str(self.sample.root),
            "n_images": self.sample.n_pictures,
            "planted": self._planted(),
            "before": self.before.to_json(),
            "findings": self.found.counts,
            "n_edits": len(self.cleaning.written),
            "fresh_error_rate": {"before": self.fresh_before.error_rate, "after": self.fresh_after.error_rate},
            **self.run.to_json(),
            "predictions": [prediction.to_json() for prediction in self.predictions],
        }

    def text(self) -> str:
        """The demo told for a terminal."""
        planted = ", ".join(f"{kind.replace('_', ' ')}: {n}" for kind, n in self._planted().items())
        found = ", ".join(f"{kind.replace('_', ' ')}: {n}" for kind, n in self.found.counts.items())
        shown = self.predictions
        widths = {"name_width": name_width([one.path for one in shown]), "label_width": max(map(len, self.found.table.classes))}
        drawn = counted(self.sample.n_pictures, "picture")
        return "\n".join(
            [
                f"drew     {drawn} of {', '.join(self.sample.classes)} in {self.sample.root}",
                f"         with {planted}",
                *_told(self.before, "trained "),
                f"found    {found}",
                f"cleaned  {counted(len(self.cleaning.written), 'edit')} in {self.cleaning.journal}; no picture was touched",
                *_told(self.run, "trained "),
                f"fresh    error on {self.fresh_after.n} new pictures: {percent(self.fresh_before.error_rate)} before cleaning, "
                f"{percent(self.fresh_after.error_rate)} after",
                "predicts some of them:",
                *(f"         {row_text(one, **widths)}" for one in shown),
                f"report   {self.run.page}",
            ]
        )

    def _planted(self) -> dict[str, int]:
        return dict(Counter(one.kind for one in self.sample.planted))


def _told(run: Run, verb: str) -> list[str]:
    facts, trained_on = run.facts, counted(len(run.table.in_split("train")), "picture")
    return [
        f"read     {facts['counts']}",
        f"{verb} on {trained_on} in {facts['seconds']['total']:.1f} s: {run.report.summary()}",
    ]


def run_demo(out: Path | None = None, *, n_per_class: int = 200, seed: int = 0, progress: Progress = silent) -> Demo:
    """Draw coins with planted faults, train, check and clean them, train again, and judge both runs on coins drawn afterwards.

    All of it is in the new folder `out`. Raises CallError where `out` holds something.
    """
    folder = out or _free_folder()
    recipe = Recipe(seed=seed)
    refuse_used(folder)
    sample = draw_sample("coins", folder / "coins", n_per_class=n_per_class, seed=seed, progress=progress)
    before = train(sample.root, recipe, out=folder / "run-before-cleaning", progress=progress)
    found = check(sample.root, recipe=recipe, progress=progress)
    found.write_html(folder / "check.html", progress=progress)
    cleaning = clean(sample.root, apply=TAKEN, why="demo", progress=progress)
    run = train(sample.root, recipe, out=folder / "run", progress=progress)
    fresh = draw_sample("coins", folder / "new", n_per_class=N_FRESH, seed=seed + 1, faults=False, progress=progress)
    fresh_before, fresh_after = (evaluate(one, fresh.root, progress=progress).report for one in (before, run))
    pictures = sorted(fresh.root.glob("*/*"))[:: N_FRESH * len(sample.classes) // N_SHOWN]
    predictions = tuple(run.classifier.predict_many(map(str, pictures)))
    return Demo(sample, before, found, cleaning, run, fresh_before, fresh_after, predictions)


def _free_folder() -> Path:
    names = (Path("tellapart-demo" if number == 1 else f"tellapart-demo-{number}") for number in count(1))
    return next(folder for folder in names if not folder.exists())
