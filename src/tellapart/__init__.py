"""Tellapart tells pictures apart: from a pile of pictures to a classifier that can be trusted, corrected and served.

import tellapart as ta

run = ta.train("coins/")
print(run.report.accuracy, run.report.interval)
ta.Classifier.load(run.path).predict("new.jpg").label
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tellapart.checking import check
    from tellapart.data import ImageTable, split
    from tellapart.errors import TellapartError
    from tellapart.estimator import ImageClassifier
    from tellapart.evaluation import Report
    from tellapart.evaluations import evaluate
    from tellapart.exports import export
    from tellapart.images.samples import draw_sample
    from tellapart.inference import Classifier, Prediction
    from tellapart.runs import Run, train
    from tellapart.sources import read
    from tellapart.training import Recipe

__version__ = "0.1.0"

# Loaded when first used: `import tellapart` and `tellapart --help` cost no heavy import.
_ROOM_OF = {
    "Classifier": "inference",
    "ImageClassifier": "estimator",
    "ImageTable": "data",
    "Prediction": "inference",
    "Recipe": "training",
    "Report": "evaluation",
    "Run": "runs",
    "TellapartError": "errors",
    "check": "checking",
    "draw_sample": "images.samples",
    "evaluate": "evaluations",
    "export": "exports",
    "read": "sources",
    "split": "data",
    "train": "runs",
}
__all__ = [
    "Classifier", "ImageClassifier", "ImageTable", "Prediction", "Recipe", "Report", "Run", "TellapartError",
    "check", "draw_sample", "evaluate", "export", "read", "split", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'tellapart' has no attribute {name!r}")
    return getattr(import_module(f"tellapart.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
