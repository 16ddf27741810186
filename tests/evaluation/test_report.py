from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tellapart.errors import CallError, DataError
from tellapart.evaluation import Judged, Report
from tellapart.evaluation.report import percent

CLASSES = ("daisy", "rose", "tulip")
ROWS = [  # path, true label, probabilities
    ("a.jpg", "daisy", (0.9, 0.06, 0.04)),
    ("b.jpg", "daisy", (0.3, 0.6, 0.1)),
    ("c.jpg", "rose", (0.1, 0.5, 0.4)),
    ("d.jpg", "rose", (0.02, 0.03, 0.95)),
    ("e.jpg", "rose", (0.0, 0.99, 0.01)),
]


def prediction(path: str, probabilities=(), error: str | None = None) -> SimpleNamespace:
    """What a classifier answers, by its shape alone: a report needs nothing else of it."""
    return SimpleNamespace(path=path, probabilities=dict(zip(CLASSES, probabilities, strict=False)), error=error)


def make_report(rows=ROWS, failed: tuple[str, ...] = ("f.jpg",), **more) -> Report:
    predictions = [prediction(path, probabilities) for path, _, probabilities in rows]
    predictions += [prediction(path, error="the file is empty (0 bytes)") for path in failed]
    labels = [label for _, label, _ in rows] + ["rose" for _ in failed]
    return Report.from_predictions(predictions, labels, CLASSES, title="flowers", subject="test pictures", **more)


def test_figures() -> None:
    report = make_report()
    assert (report.n, report.n_right) == (5, 3)
    assert report.accuracy == pytest.approx(0.6)
    assert report.error_rate == pytest.approx(0.4)
    assert report.interval == pytest.approx((0.2307, 0.8824), abs=1e-4)
    assert report.confusion.tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 0]]
    assert report.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert report.commonest_share == pytest.approx(0.6)
    assert report.log_loss == pytest.approx(-np.log([0.9, 0.3, 0.5, 0.03, 0.99]).mean())
    assert list(report.per_class) == list(CLASSES)
    assert report.per_class["tulip"].recall is None
    assert report.summary() == "60.0 % right (95 % interval 23.1 to 88.2 %), n = 5"
    assert report.counts == "6 pictures = 5 judged + 1 unreadable"


def test_judged_pictures_carry_the_answer_and_the_runner_up() -> None:
    report = make_report()
    assert report.judged[1] == Judged("b.jpg", "daisy", "rose", 0.6, 0.3, "daisy")
    assert report.failures == (("f.jpg", "the file is empty (0 bytes)"),)


def test_lists_are_ordered() -> None:
    report = make_report()
    assert [one.path for one in report.most_wrong(5)] == ["d.jpg", "b.jpg"]
    assert [one.path for one in report.most_wrong(1)] == ["d.jpg"]
    assert [one.path for one in report.least_certain(3)] == ["c.jpg", "b.jpg", "a.jpg"]
    assert [one.path for one in report.most_right(2)] == ["e.jpg", "a.jpg"]
    assert [(pair.label, pair.predicted, pair.n) for pair in report.confused_pairs()] == [
        ("daisy", "rose", 1),
        ("rose", "tulip", 1),
    ]
    assert report.confused_pairs(1)[0].share == pytest.approx(0.5)


def test_json_holds_plain_values() -> None:
    report = make_report(facts={"arch": "lite0"}, notes=["chosen inside the training part"])
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert value["accuracy_interval"] == pytest.approx(list(report.interval))
    assert value["per_class"]["daisy"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2}
    assert value["per_class"]["tulip"]["recall"] is None
    assert value["confusion"] == [[1, 1, 0], [0, 2, 1], [0, 0, 0]]
    assert value["most_wrong"][0]["path"] == "d.jpg"
    assert [one["path"] for one in value["most_right"]][:2] == ["e.jpg", "a.jpg"]
    assert value["failures"] == [{"path": "f.jpg", "reason": "the file is empty (0 bytes)"}]
    assert value["facts"] == {"arch": "lite0"}
    assert value["notes"] == ["chosen inside the training part"]
    assert {"accuracy", "error_rate", "n", "n_right", "classes", "log_loss", "calibration_error"} < set(value)


def test_nothing_judged_has_no_accuracy_and_says_so() -> None:
    report = make_report(rows=[])
    assert report.accuracy is report.error_rate is report.interval is report.log_loss is report.calibration_error is None
    assert report.summary() == "no accuracy: no picture was judged (1 picture = 0 judged + 1 unreadable)"
    assert report.least_certain() == report.most_wrong() == report.most_right() == ()
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["accuracy"] is None
    assert "no picture was judged" in report._repr_html_()


def test_a_single_class() -> None:
    rows = [SimpleNamespace(path="a.jpg", probabilities={"coin": 1.0}, error=None)]
    report = Report.from_predictions(rows, ["coin"], ["coin"], title="coins", subject="test pictures")
    assert report.accuracy == 1.0
    assert report.judged[0].second is None
    assert [one.path for one in report.least_certain()] == ["a.jpg"]


def test_unknown_labels_are_named_with_the_nearest() -> None:
    predictions = [prediction(f"{i}.jpg", (1, 0, 0)) for i in range(4)]
    with pytest.raises(DataError) as caught:
        Report.from_predictions(
            predictions, ["roses", "roses", "daisy", "zebra"], CLASSES, title="flowers", subject="test pictures"
        )
    assert str(caught.value) == (
        "2 labels of these pictures are not classes of the model: 'roses' (2 pictures; did you mean 'rose'?); "
        "'zebra' (1 picture; nothing is named alike). Rename or leave out these pictures, or train with them."
    )


def test_one_unknown_label_is_said_as_one() -> None:
    with pytest.raises(DataError, match=r"^1 label of these pictures is not a class of the model: 'roses' \(1 picture; did"):
        Report.from_predictions([], ["roses"], CLASSES, title="flowers", subject="test pictures")


def test_labels_and_predictions_must_pair_up() -> None:
    with pytest.raises(CallError, match="there is 1 prediction and 2 labels"):
        Report.from_predictions(
            [prediction("a.jpg", (1, 0, 0))], ["daisy", "rose"], CLASSES, title="flowers", subject="test pictures"
        )


def test_probabilities_are_checked() -> None:
    with pytest.raises(DataError, match=r"shape \(0, 2\), but these are \(1, 2\)"):
        Report("t", "s", ("a", "b"), (), np.zeros((1, 2)))
    with pytest.raises(DataError, match="not finite"):
        make_report(rows=[("a.jpg", "daisy", (float("nan"), 0.5, 0.5))])


def test_notebook_card_is_escaped_and_free_of_scripts() -> None:
    classes = ("<script>", "b")
    rows = [SimpleNamespace(path="a.jpg", probabilities={"<script>": 0.8, "b": 0.2}, error=None)]
    report = Report.from_predictions(rows, ["<script>"], classes, title="<b>t</b>", subject="test pictures")
    card = report._repr_html_()
    assert "<script" not in card
    assert "&lt;script&gt;" in card
    assert "&lt;b&gt;t&lt;/b&gt;" in card
    assert "100.0 % right" in card


def test_only_all_is_one_hundred_percent() -> None:
    assert [percent(share) for share in (1, 0.9999, 0.938, 0.0001, 0, None)] == [
        "100.0 %", "99.9 %", "93.8 %", "0.1 %", "0.0 %", "–",
    ]  # fmt: skip
