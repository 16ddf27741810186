"""Judging a classifier on labelled pictures, through the same bundle and runtime that serve it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tellapart.data import ImageTable
from tellapart.evaluation.report import Report
from tellapart.inference import Classifier, Prediction
from tellapart.progress import Progress, silent


def judge(
    classifier: Classifier,
    table: ImageTable,
    *,
    title: str,
    subject: str,
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    progress: Progress = silent,
) -> Report:
    """The report on the table's pictures; `facts` are added to what the bundle says of itself.

    Raises DataError for labels that the classifier does not know. Unreadable pictures are the report's failures.
    """

    def predicted() -> Iterator[Prediction]:
        for done, prediction in enumerate(classifier.predict_many(table.paths), start=1):
            progress("judging", done, len(table))
            yield prediction

    facts = model_facts(classifier) | dict(facts or {})
    labels, classes = table.labels, classifier.classes
    return Report.from_predictions(predicted(), labels, classes, title=title, subject=subject, facts=facts, notes=notes)


def model_facts(classifier: Classifier) -> dict[str, str]:
    """What the classifier is and what it was trained on, for the report's small table."""
    manifest = classifier.manifest
    figures, balance = manifest.figures, manifest.recipe.get("balance", 0)
    counts = figures["counts"]
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    weighing = f"weighted by (mean count / count) ** {balance:g}" if balance else "not weighted (balance 0)"
    return {
        "Network": f"{manifest.arch}, weights {manifest.weights}, frozen",
        "Input": f"{manifest.fit.side_px} px, {manifest.fit.mode}",
        "Head": f"multinomial logistic regression, penalty {figures['penalty']:.1e}, temperature {figures['temperature']:.2f}",
        "Training pictures": f"{figures['n_train']:,}",
        "Class balance": f"{counts[most]:,} of {most} to {counts[least]:,} of {least}; {weighing}",
        "Runtime": classifier.runtime.name,
    }
