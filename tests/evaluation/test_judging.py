from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tellapart import read
from tellapart.evaluation.judging import judge
from tellapart.images.samples import Sample
from tellapart.inference import Classifier
from tellapart.inference.classifiers import LEFT_OUT
from tellapart.inference.tta import CROPS


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder)


def test_without_views_nothing_is_said_of_them(classifier: Classifier, clean_sample: Sample) -> None:
    report = judge(classifier, read(clean_sample.root), title="t", subject="s")
    assert "Test-time augmentation" not in report.facts
    assert report.n == 36


def test_the_report_says_what_the_views_cost_and_gain(classifier: Classifier, clean_sample: Sample) -> None:
    table = read(clean_sample.root)
    seen = set[str]()
    plain = judge(classifier, table, title="t", subject="s")
    varied = judge(classifier, table, title="t", subject="s", tta=CROPS, progress=lambda what, *_: seen.add(what))
    assert seen == {"judging", "judging 6 views"}
    fact = varied.facts["Test-time augmentation"]
    found = re.fullmatch(
        r"mean of 6 views \(as is, mirrored, top left, top right, bottom left, bottom right\): (\d+\.\d) % right in place of "
        r"(\d+\.\d) %; [+-]\d+\.\d points \(.*\): (could be|more than) noise, p = \S+; \d+\.\d s in place of \d+\.\d s",
        fact,
    )
    assert found, fact
    assert float(found[1]) == pytest.approx(100 * varied.n_right / 36, abs=0.06)
    assert float(found[2]) == pytest.approx(100 * plain.n_right / 36, abs=0.06)
    assert (varied.probabilities != plain.probabilities).any()


def test_where_mirroring_changes_labels_the_report_says_so(classifier: Classifier, clean_sample: Sample) -> None:
    figures = {**classifier.manifest.figures, LEFT_OUT: ["flip"]}
    told = Classifier(classifier.folder, replace(classifier.manifest, figures=figures), classifier.runtime, classifier._centres)
    report = judge(told, read(clean_sample.root), title="t", subject="s", tta=True)
    assert report.facts["Test-time augmentation"] == "none: mirroring changes what these pictures show"
