"""`tellapart demo`: the whole loop on coins that it draws itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tellapart.files import refuse_used
from tellapart.images.samples import Sample, draw_sample
from tellapart.inference import Prediction
from tellapart.predictions import name_width, row_text
from tellapart.progress import Progress, silent
from tellapart.runs import Run, train
from tellapart.training import Recipe

N_SHOWN = 6
N_MISTAKES = 3


@dataclass(frozen=True)
class Demo:
    """What the demo did: the pictures it drew, the run on them, and some predictions on pictures that it drew afterwards."""

    sample: Sample
    run: Run
    predictions: tuple[Prediction, ...]

    def to_json(self) -> dict[str, Any]:
        """What `tellapart demo --json` prints."""
        return {
            "data": str(self.sample.root),
            "n_images": self.sample.n_pictures,
            "planted": self._planted(),
            **self.run.to_json(),
            "predictions": [prediction.to_json() for prediction in self.predictions],
        }

    def text(self) -> str:
        """The demo told for a terminal."""
        planted = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in self._planted().items())
        report = self.run.report
        mistakes = [f"{Path(one.path).name} ({one.label}, taken for {one.predicted})" for one in report.most_wrong(N_MISTAKES)]
        shown = self.predictions
        widths = {"name_width": name_width([one.path for one in shown]), "label_width": max(map(len, report.classes))}
        return "\n".join(
            [
                f"drew     {self.sample.n_pictures} pictures of {', '.join(self.sample.classes)} in {self.sample.root}",
                f"         with {planted}",
                f"read     {self.run.facts['counts']}",
                f"trained  on {len(self.run.table.in_split('train'))} pictures in {self.run.facts['seconds']['total']:.1f} s",
                f"judged   {report.summary()}",
                f"         the most certain mistakes are often wrong labels: {', '.join(mistakes) or 'none'}",
                "predicts new pictures:",
                *(f"         {row_text(one, **widths)}" for one in shown),
                f"report   {self.run.page}",
            ]
        )

    def _planted(self) -> dict[str, int]:
        return dict(Counter(one.kind for one in self.sample.planted))


def run_demo(out: Path | None = None, *, n_per_class: int = 200, seed: int = 0, progress: Progress = silent) -> Demo:
    """Draw coins with planted faults, train on them, judge, and predict new ones; all of it in the new folder `out`.

    Raises CallError where `out` holds something.
    """
    folder = out or _free_folder()
    recipe = Recipe(seed=seed)
    refuse_used(folder)
    sample = draw_sample("coins", folder / "coins", n_per_class=n_per_class, seed=seed, progress=progress)
    fresh = draw_sample("coins", folder / "new", n_per_class=N_SHOWN // len(sample.classes), seed=seed + 1, faults=False)
    run = train(sample.root, recipe, out=folder / "run", progress=progress)
    pictures = sorted(str(path) for path in fresh.root.glob("*/*"))
    return Demo(sample, run, tuple(run.classifier.predict_many(pictures)))


def _free_folder() -> Path:
    names = (Path("tellapart-demo" if number == 1 else f"tellapart-demo-{number}") for number in count(1))
    return next(folder for folder in names if not folder.exists())
