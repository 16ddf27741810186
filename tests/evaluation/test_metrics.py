from __future__ import annotations

import numpy as np
import pytest

from tellapart.evaluation import metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def random_case(seed: int, n: int = 400, n_classes: int = 6, n_used: int = 6):
    """True classes, predicted classes and probabilities (N, K); only the first `n_used` classes occur as true ones."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_used, n)
    probabilities = rng.dirichlet(np.full(n_classes, 0.4), n)
    probabilities[np.arange(n), true] += 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return true, probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_used", [6, 4, 1])
def test_scores_are_those_of_scikit_learn(seed: int, n_used: int) -> None:
    true, pred, probabilities = random_case(seed, n_used=n_used)
    confusion = metrics.confusion_matrix(true, pred, 6)
    np.testing.assert_array_equal(confusion, sklearn_metrics.confusion_matrix(true, pred, labels=range(6)))
    wanted = sklearn_metrics.precision_recall_fscore_support(true, pred, labels=range(6), zero_division=np.nan)
    scores = metrics.class_scores(confusion)
    for name, column in zip(("precision", "recall", "f1", "n"), wanted, strict=True):
        np.testing.assert_allclose(np.array([getattr(score, name) for score in scores], float), column)
    recalls = sklearn_metrics.recall_score(true, pred, labels=np.unique(true), average="macro")
    assert metrics.balanced_accuracy(confusion) == pytest.approx(recalls)
    assert metrics.log_loss(probabilities, true) == pytest.approx(sklearn_metrics.log_loss(true, probabilities, labels=range(6)))


def test_confusion_has_true_classes_as_rows() -> None:
    confusion = metrics.confusion_matrix([0, 0, 1], [0, 2, 1], 3)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_scores_without_a_denominator_are_none() -> None:
    absent_but_answered, absent, never_answered = metrics.class_scores(np.array([[0, 0, 0], [0, 0, 0], [2, 0, 0]]))
    assert absent_but_answered == metrics.ClassScore(precision=0.0, recall=None, f1=0.0, n=0)
    assert absent == metrics.ClassScore(precision=None, recall=None, f1=None, n=0)
    assert never_answered == metrics.ClassScore(precision=None, recall=0.0, f1=0.0, n=2)


def test_no_pictures_give_no_figures() -> None:
    confusion = metrics.confusion_matrix([], [], 2)
    assert confusion.tolist() == [[0, 0], [0, 0]]
    assert metrics.balanced_accuracy(confusion) is None
    assert metrics.log_loss(np.zeros((0, 2)), []) is None
    assert metrics.expected_calibration_error(metrics.reliability_bins(np.zeros(0), [])) is None
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


def test_one_class_all_right() -> None:
    confusion = metrics.confusion_matrix([0, 0], [0, 0], 1)
    assert metrics.class_scores(confusion) == (metrics.ClassScore(1.0, 1.0, 1.0, 2),)
    assert metrics.balanced_accuracy(confusion) == 1.0
    assert metrics.log_loss(np.ones((2, 1)), [0, 0]) == pytest.approx(0.0, abs=1e-12)


def test_a_certain_mistake_has_a_finite_loss() -> None:
    wanted = sklearn_metrics.log_loss([0, 1], [[0.0, 1.0], [0.0, 1.0]])
    assert metrics.log_loss(np.array([[0.0, 1.0], [0.0, 1.0]]), [0, 1]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("n_right", "n", "lo", "hi"),
    [  # scipy.stats.binomtest(n_right, n).proportion_ci(method="wilson")
        (516, 550, 0.914857, 0.955428),
        (1, 2, 0.094531, 0.905469),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
    ],
)
def test_wilson_interval(n_right: int, n: int, lo: float, hi: float) -> None:
    assert metrics.wilson_interval(n_right, n) == pytest.approx((lo, hi), abs=1e-6)


def test_wilson_interval_holds_the_share() -> None:
    for n in (1, 7, 1000):
        for n_right in range(n + 1):
            lo, hi = metrics.wilson_interval(n_right, n)
            assert 0 <= lo <= n_right / n <= hi <= 1


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="n_right is 3 and n is 2"):
        metrics.wilson_interval(3, 2)
    with pytest.raises(ValueError, match="there are 2 and 1"):
        metrics.confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.confusion_matrix([0, 2], [0, 1], 2)


def test_reliability_bins_agree_with_a_plain_loop() -> None:
    true, pred, probabilities = random_case(0)
    confidence, right = probabilities.max(axis=1), true == pred
    bins = metrics.reliability_bins(confidence, right)
    assert sum(one.n for one in bins) == 400
    error = 0.0
    for one in bins:
        within = (confidence > one.lo) & (confidence <= one.hi)
        assert one.n == within.sum()
        if one.n:
            assert one.accuracy == pytest.approx(right[within].mean())
            assert one.confidence == pytest.approx(confidence[within].mean())
            error += within.mean() * abs(right[within].mean() - confidence[within].mean())
    assert metrics.expected_calibration_error(bins) == pytest.approx(error)


def test_bins_are_closed_above() -> None:
    bins = metrics.reliability_bins(np.array([0.0, 0.5, 0.51, 1.0]), [True, False, True, True], n_bins=2)
    assert [one.n for one in bins] == [2, 2]
    assert [one.n for one in metrics.reliability_bins(np.array([1.0]), [True])] == [0] * 14 + [1]
    assert bins[1].confidence == pytest.approx(0.755)


# Several labels a picture ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_several_labels_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    has, probabilities = rng.random((60, 4)) < 0.3, rng.random((60, 4)).round(1)  # so rough that many are equal
    thresholds = np.array([0.2, 0.5, 0.7, 0.9])
    said = probabilities >= thresholds
    scores = metrics.label_scores(probabilities, has, thresholds)
    expected = sklearn_metrics.precision_recall_fscore_support(has, said, zero_division=np.nan)
    found = np.array([(score.precision, score.recall, score.f1, score.n) for score in scores], float).T
    assert found == pytest.approx(np.array(expected, float), nan_ok=True)
    precisions = sklearn_metrics.average_precision_score(has, probabilities, average=None)
    assert [score.average_precision for score in scores] == pytest.approx(precisions)
    assert metrics.micro_f1(said, has) == pytest.approx(sklearn_metrics.f1_score(has, said, average="micro"))
    macro = metrics.mean_known(score.f1 for score in scores)
    assert macro == pytest.approx(sklearn_metrics.f1_score(has, said, average="macro"))
    losses = [sklearn_metrics.log_loss(has[:, k], probabilities[:, k], labels=[False, True]) for k in range(4)]
    assert metrics.binary_log_loss(probabilities, has) == pytest.approx(np.mean(losses))


def test_a_label_without_pictures_has_no_average_precision() -> None:
    (score,) = metrics.label_scores(np.array([[0.2], [0.3]]), np.zeros((2, 1), bool), np.array([0.5]))
    assert score == metrics.LabelScore(None, None, None, 0, None, 0.5)
    assert metrics.mean_known([None]) is None
