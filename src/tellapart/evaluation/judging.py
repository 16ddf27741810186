"""Judging a classifier on labelled pictures, through the same bundle and runtime that serve it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tellapart.data import ImageTable
from tellapart.data.table import LABEL_MARK
from tellapart.errors import DataError
from tellapart.evaluation.judged import Judgement, percent
from tellapart.evaluation.labels_report import LabelsReport
from tellapart.evaluation.report import Report
from tellapart.evaluation.significance import paired_difference
from tellapart.images.decoding import shown_channels
from tellapart.inference import Classifier, Prediction
from tellapart.progress import Progress, silent

TTA_FACT = "Test-time augmentation"

VIEWS_FACT = "Test-time augmentation"
NO_VIEWS = "none: mirroring changes what these pictures show"


def judge(
    classifier: Classifier,
    table: ImageTable,
    *,
    title: str,
    subject: str,
    facts: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    tta: bool | Sequence[str] = False,
    progress: Progress = silent,
) -> Report | LabelsReport:
    """The report on the table's pictures; `facts` are added to what the bundle says of itself.

    With `tta` every answer is the mean over views of its picture, as `Classifier.predict_many` has it; the pictures are judged
    without as well, and the facts say what the views cost and gain.
    Raises DataError for labels that the classifier does not know, and for pictures of several labels where it says one.
    Unreadable pictures are the report's failures.
    """

    facts = model_facts(classifier) | dict(facts or {})
    if table.multi_label and not classifier.several:
        raise DataError(
            "these pictures have several labels each, but the classifier was trained on one label a picture. Leave --label-sep "
            "out, or train on several: tellapart train TABLE --label-sep TEXT"
        )
    if classifier.several and not table.multi_label and any(LABEL_MARK in label for label in table.labels):
        raise DataError(
            f"the classifier says several labels a picture; what stands between those of a cell? --label-sep {LABEL_MARK!r}"
        )

    def judged(views: Sequence[str], facts: Mapping[str, str]) -> Report | LabelsReport:
        predictions = _predicted(classifier, table, views, progress)
        words: dict[str, Any] = {"title": title, "subject": subject, "facts": facts, "notes": notes}
        if (thresholds := classifier.manifest.thresholds) is not None:
            return LabelsReport.from_predictions(predictions, table.label_sets, thresholds, **words)
        return Report.from_predictions(predictions, table.labels, classifier.classes, **words)

    views, plain_views = classifier.views(tta), classifier.views(False)
    if views == plain_views:
        return judged(views, facts | {VIEWS_FACT: NO_VIEWS} if tta is True else facts)
    list(classifier.predict_many(table.paths[:1]))  # compiles the network, which is no cost of either
    begun = time.perf_counter()
    plain = judged(plain_views, facts)
    between = time.perf_counter()
    varied = judged(views, facts)
    seconds = between - begun, time.perf_counter() - between
    return replace(varied, facts={**varied.facts, TTA_FACT: _views_fact(views, plain, varied, seconds)})


def _predicted(classifier: Classifier, table: ImageTable, views: Sequence[str], progress: Progress) -> Iterator[Prediction]:
    what = "judging" if len(views) == 1 else f"judging {len(views)} views"
    for done, prediction in enumerate(classifier.predict_many(table.paths, tta=views), start=1):
        progress(what, done, len(table))
        yield prediction


def _views_fact(views: Sequence[str], plain: Judgement, varied: Judgement, seconds: tuple[float, float]) -> str:
    """What the views cost and gain, in one sentence; both reports are on the same pictures in the same order."""
    names = ", ".join(name.replace("_", " ") for name in views)
    cost = f"{seconds[1]:.1f} s in place of {seconds[0]:.1f} s"
    rights = [(before.right, after.right) for before, after in zip(plain.judged, varied.judged, strict=True)]
    difference = paired_difference(rights.count((False, True)), rights.count((True, False)), len(rights))
    gain = f"{percent(varied.accuracy)} right in place of {percent(plain.accuracy)}; {difference.verdict}"
    return f"mean of {len(views)} views ({names}): {gain}; {cost}"


def model_facts(classifier: Classifier) -> dict[str, str]:
    """What the classifier is and what it was trained on, for the report's small table."""
    manifest = classifier.manifest
    figures, balance = manifest.figures, manifest.recipe.get("balance", 0)
    counts = figures["counts"]
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    weighing = f"weighted by (mean count / count) ** {balance:g}" if balance else "not weighted (balance 0)"
    temperature = f"temperature {figures['temperature']:.2f}"
    kind = "a logistic regression for each label" if manifest.several else "multinomial logistic regression"
    fit = f"{kind}, penalty {figures['penalty']:.1e}" if figures["penalty"] else "trained with the network"
    return {
        "Network": f"{manifest.arch}, weights {manifest.weights}{', frozen' if figures['penalty'] else ''}",
        "Input": f"{manifest.fit.side_px} px, {manifest.fit.mode}",
        **({"Shown": shown} if (shown := shown_channels(manifest.fit.n_channels)) else {}),
        "Head": f"{fit}, {temperature}",
        "Training pictures": f"{figures['n_train']:,}",
        "Class balance": f"{counts[most]:,} of {most} to {counts[least]:,} of {least}; {weighing}",
        "Runtime": classifier.runtime.name,
    }
