from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tellapart.errors import CallError, DataError
from tellapart.evaluation import LabelsReport
from tellapart.evaluation.html import render, write_html
from tellapart.pages import open_thumbnails

THRESHOLDS = {"dark": 0.5, "gold": 0.3, "worn": 0.9}
ROWS = [  # path, true labels, probabilities
    ("a.jpg", ("gold", "dark"), (0.9, 0.4, 0.1)),
    ("b.jpg", ("gold",), (0.6, 0.8, 0.2)),
    ("c.jpg", (), (0.1, 0.2, 0.3)),
    ("d.jpg", ("dark",), (0.2, 0.1, 0.0)),
]


def make_report(rows=ROWS, **more) -> LabelsReport:
    answers = [SimpleNamespace(path=path, probabilities=dict(zip(THRESHOLDS, p, strict=True)), error=None) for path, _, p in rows]
    answers.append(SimpleNamespace(path="e.jpg", probabilities={}, error="the file is empty (0 bytes)"))
    sets = [*(labels for _, labels, _ in rows), ("gold",)]
    return LabelsReport.from_predictions(answers, sets, THRESHOLDS, title="coins", subject="test pictures", **more)


def test_a_picture_is_right_where_all_its_labels_are() -> None:
    report = make_report()
    assert [one.right for one in report.judged] == [True, False, True, False]
    assert (report.accuracy, report.error_rate, report.n) == (0.5, 0.5, 4)
    assert [(one.label, one.predicted) for one in report.judged] == [
        ("dark|gold", "dark|gold"), ("gold", "dark|gold"), ("", ""), ("dark", "")
    ]  # fmt: skip
    assert report.judged[1].probability == pytest.approx(0.6 * 0.8 * 0.8)
    assert report.judged[1].label_probability == pytest.approx(0.4 * 0.8 * 0.8)
    assert report.counts == "5 pictures = 4 judged + 1 unreadable"
    assert report.summary() == (
        "50.0 % with all labels right (95 % interval 15.0 to 85.0 %), n = 4; "
        "micro F1 75.0 %, macro F1 75.0 %, mean average precision 91.7 %"
    )


def test_each_label_has_its_figures_and_its_most_certain_mistakes() -> None:
    report = make_report()
    dark = report.per_class["dark"]
    assert (dark.precision, dark.recall, dark.f1, dark.n, dark.threshold) == (0.5, 0.5, 0.5, 2, 0.5)
    assert report.per_class["worn"].f1 is None
    assert [(one.path, one.has, one.certainty) for one in report.mistakes("dark")] == [
        ("d.jpg", True, 0.8),
        ("b.jpg", False, 0.6),
    ]
    assert report.mistakes("gold") == ()
    assert report.commonest == ("", 0.25)
    assert report.balanced_accuracy == 0.75


def test_the_json_holds_the_contract_of_every_report() -> None:
    facts = json.loads(json.dumps(make_report(notes=("a note",)).to_json()))
    assert facts["accuracy"] == 0.5
    assert facts["accuracy_interval"] == pytest.approx([0.15, 0.85], abs=1e-2)
    assert facts["per_class"]["gold"]["average_precision"] == 1.0
    assert facts["mistakes"]["dark"][0]["path"] == "d.jpg"
    assert "confusion" not in facts


def test_wrong_calls_are_said() -> None:
    with pytest.raises(DataError, match=r"1 label of these pictures is not a class of the model: 'golden' .*did you mean 'gold'"):
        make_report([("a.jpg", ("golden",), (0.1, 0.2, 0.3))])
    with pytest.raises(CallError, match="each prediction needs one label, but there are"):
        LabelsReport.from_predictions([], [("gold",)], THRESHOLDS, title="", subject="")
    with pytest.raises(DataError, match="a report on 3 labels needs as many thresholds, not 1"):
        replace(make_report(), thresholds=(0.5,))


def test_nothing_judged_is_no_accuracy(tmp_path: Path) -> None:
    report = make_report([])
    assert (report.accuracy, report.macro_f1, report.commonest, report.log_loss) == (None, None, None, None)
    assert report.summary().startswith("no accuracy: no picture was judged")
    write_html(report, tmp_path / "report.html")


def test_the_page_shows_labels_in_place_of_a_matrix() -> None:
    report = make_report([*ROWS, ("<b>.jpg", ("worn",), (0.1, 0.9, 0.2))])
    page = render(report, open_thumbnails([one.path for one in report.judged], 10))
    assert "with all labels right" in page
    assert "Confusion matrix" not in page
    assert page.index('id="label-2"') < page.index('id="label-0"')  # the weakest label comes first
    assert "2 wrong of 5 pictures: 1 said, 1 missed" in page
    assert "none of the labels" in page
    assert "<b>.jpg" not in page


def test_probabilities_of_all_answers_at_once_are_at_most_one() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"{number}.jpg", (), tuple(rng.random(3))) for number in range(50)]
    assert all(0 <= one.probability <= 1 for one in make_report(rows).judged)
