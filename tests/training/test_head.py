from __future__ import annotations

import numpy as np
import pytest

from tellapart.training.head import PENALTIES, Head, fit_head, fit_temperature, log_loss, scores, sigmoid, softmax


def blobs(n: int, n_features: int, n_classes: int, *, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) float32 points around a centre per class, and their labels (N,), classes in turn."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_classes, n_features)) * 3 / np.sqrt(n_features)
    labels = np.arange(n) % n_classes
    return (centres[labels] + spread * rng.standard_normal((n, n_features)) / np.sqrt(n_features)).astype(np.float32), labels


def folds_of(labels: np.ndarray, n_folds: int = 5, *, seed: int = 0) -> np.ndarray:
    folds = np.empty(len(labels), int)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % n_folds
    return folds


def fit(features: np.ndarray, labels: np.ndarray, **more) -> Head:
    more = {"n_classes": int(labels.max()) + 1, "blocks": (features.shape[1],), **more}
    return fit_head(features, labels, folds_of(labels), **more)


@pytest.mark.parametrize(("n", "n_features"), [(90, 400), (900, 40)], ids=["N < D", "N > D"])
def test_a_head_learns_and_its_rows_are_probabilities(n: int, n_features: int) -> None:
    features, labels = blobs(n, n_features, 3)
    head = fit(features, labels)
    probabilities = head.probabilities(features)
    assert head.weights.shape == (n_features, 3)
    assert probabilities.shape == head.fold_probabilities.shape == (n, 3)
    assert (probabilities.dtype, head.weights.dtype, head.bias.dtype) == (np.float32, np.float32, np.float32)
    assert probabilities.sum(1) == pytest.approx(np.ones(n), abs=1e-5)
    assert head.fold_probabilities.sum(1) == pytest.approx(np.ones(n), abs=1e-5)
    assert (probabilities.argmax(1) == labels).mean() > 0.95
    assert head.penalty in PENALTIES


def test_it_answers_as_logistic_regression_does() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels = blobs(600, 30, 4, spread=1.2)
    new, new_labels = blobs(600, 30, 4, spread=1.2, seed=0)  # the same centres: the same seed
    new = new + np.random.default_rng(9).standard_normal(new.shape).astype(np.float32) * 0.05
    head = fit(features, labels)
    scaled = (features - features.mean(0)) / np.sqrt(features.var(0).sum())
    peer = linear_model.LogisticRegression(C=1 / (head.penalty * len(features)), max_iter=5000, tol=1e-8).fit(scaled, labels)
    expected = softmax(peer.decision_function((new - features.mean(0)) / np.sqrt(features.var(0).sum())) / head.temperature)
    found = head.probabilities(new)
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.98
    assert np.abs(found - expected).mean() < 0.02
    assert abs((found.argmax(1) == new_labels).mean() - (expected.argmax(1) == new_labels).mean()) < 0.01


def test_noise_gets_a_stronger_penalty_than_signal() -> None:
    features, labels = blobs(300, 50, 3)
    noise = np.random.default_rng(1).permutation(labels)
    assert fit(features, noise).penalty > fit(features, labels).penalty
    assert fit(features, noise).penalty == pytest.approx(PENALTIES[0])


def test_folds_have_not_seen_their_pictures() -> None:
    """With permuted labels a fit that had seen a picture would know its label; one that had not is at chance."""
    features, labels = blobs(400, 400, 4)
    permuted = np.random.default_rng(3).permutation(labels)
    head = fit(features, permuted)
    accuracy = (head.fold_probabilities.argmax(1) == permuted).mean()
    assert accuracy == pytest.approx(0.25, abs=0.08)  # 4 standard deviations of 400 draws


def test_copies_in_one_fold_teach_their_fold_nothing() -> None:
    features, labels = blobs(100, 300, 2)
    permuted = np.random.default_rng(4).permutation(labels)
    folds = folds_of(permuted)
    head = fit_head(np.repeat(features, 2, 0), np.repeat(permuted, 2), np.repeat(folds, 2), n_classes=2, blocks=(300,))
    assert (head.fold_probabilities.argmax(1) == np.repeat(permuted, 2)).mean() < 0.7


def test_the_temperature_calibrates() -> None:
    rng = np.random.default_rng(5)
    logits = rng.standard_normal((5000, 3)) * 2
    labels = (softmax(logits).cumsum(1) > rng.random((5000, 1))).argmax(1)  # drawn from these very probabilities
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.07)
    assert fit_temperature(4 * logits, labels) == pytest.approx(4, rel=0.07)
    assert fit_temperature(logits / 4, labels) == pytest.approx(0.25, rel=0.07)


def test_fold_probabilities_are_calibrated() -> None:
    features, labels = blobs(1000, 20, 2, spread=7.0)
    head = fit(features, labels)
    stated = head.fold_probabilities.max(1).mean()
    right = (head.fold_probabilities.argmax(1) == labels).mean()
    assert right < 0.95  # else there is nothing to calibrate
    assert stated == pytest.approx(right, abs=0.03)


def test_balance_lifts_the_rare_class() -> None:
    features, labels = blobs(1000, 20, 2, spread=7.0)
    kept = np.flatnonzero((labels == 0) | (np.arange(1000) % 20 == 1))  # 500 of class 0, 50 of class 1
    recalls = [
        (fit(features[kept], labels[kept], balance=balance).fold_probabilities.argmax(1) == labels[kept])[
            labels[kept] == 1
        ].mean()
        for balance in (0.0, 1.0)
    ]
    assert recalls[1] > recalls[0] + 0.1


def test_many_classes() -> None:
    features, labels = blobs(300, 64, 100)
    head = fit(features, labels)
    assert head.weights.shape == (64, 100)
    assert np.isfinite(head.fold_probabilities).all()
    assert (head.fold_probabilities.argmax(1) == labels).mean() > 0.4  # chance: 0.01


def test_a_class_that_a_fold_lacks_is_no_obstacle() -> None:
    features, labels = blobs(40, 10, 2)
    labels = labels.copy()
    labels[0] = 2  # the only one of its class
    head = fit(features, labels)
    assert np.isfinite(head.fold_probabilities).all()
    assert np.isfinite(head.weights).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_constant_features_are_no_obstacle(value: float) -> None:
    features, labels = blobs(60, 10, 2)
    features[:, 5:] = value  # a whole block says nothing
    head = fit(features, labels, blocks=(5, 5))
    assert np.isfinite(head.weights).all()
    assert (head.probabilities(features).argmax(1) == labels).mean() > 0.8


def test_features_that_say_nothing_give_the_class_frequencies() -> None:
    labels = np.repeat([0, 1], [40, 20])
    head = fit(np.ones((60, 8), np.float32), labels)
    assert head.probabilities(np.ones((1, 8), np.float32))[0] == pytest.approx([2 / 3, 1 / 3], abs=0.02)


def test_a_picture_counts_as_much_as_its_weight_says() -> None:
    labels = np.repeat([0, 1], [40, 20])
    weights = np.where(labels == 1, 6.0, 1.0)  # 40 and 120 in all
    head = fit(np.ones((60, 8), np.float32), labels, sample_weights=weights)
    assert np.log(head.probabilities(np.ones((1, 8), np.float32))[0]) * head.temperature @ [-1, 1] == pytest.approx(
        np.log(3), abs=0.1
    )
    features, labels = blobs(90, 20, 3, spread=2.0)
    even, plain = fit(features, labels, sample_weights=np.full(90, 7.0)), fit(features, labels)
    assert even.probabilities(features) == pytest.approx(plain.probabilities(features), abs=1e-4)


def test_the_scale_of_a_block_does_not_matter() -> None:
    features, labels = blobs(200, 20, 2)
    scaled = features * np.repeat([1, 1000], 10).astype(np.float32)
    first, second = fit(features, labels, blocks=(10, 10)), fit(scaled, labels, blocks=(10, 10))
    assert second.probabilities(scaled) == pytest.approx(first.probabilities(features), abs=1e-2)


def test_the_same_numbers_give_the_same_head() -> None:
    features, labels = blobs(60, 100, 3)
    first, second = fit(features, labels, seed=1), fit(features, labels, seed=1)
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.bias, second.bias)
    assert (first.penalty, first.temperature) == (second.penalty, second.temperature)


def test_log_loss_is_the_mean_negative_log_probability() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    assert log_loss(logits, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)
    assert log_loss(logits + 1000, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)


# Several labels a picture ---------------------------------------------------------------------------------------------


def several_labels(n: int, n_features: int, n_labels: int, *, noise: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) float32 points and which labels each has, (N, K) bool: each on one side of a plane, with some noise."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, n_features)).astype(np.float32)
    planes = rng.standard_normal((n_features, n_labels))
    return points, points @ planes + noise * rng.standard_normal((n, n_labels)) > np.linspace(0, 3, n_labels)


def test_each_of_several_labels_is_answered_as_logistic_regression_does() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    features, has = several_labels(400, 20, 3, noise=4.0)
    head = fit_head(features, has, np.arange(400) % 5, n_classes=3, blocks=(20,))
    scaled = (features - features.mean(0)) / np.sqrt(features.var(0).sum())
    for place in range(3):
        other = linear.LogisticRegression(C=1 / (head.penalty * 400), tol=1e-8, max_iter=10_000).fit(scaled, has[:, place])
        logits = other.decision_function(scaled) / head.temperature
        found = features @ head.weights[:, place] + head.bias[place]
        assert np.corrcoef(found, logits)[0, 1] > 0.99
        assert np.abs(sigmoid(found) - sigmoid(logits)).max() < 0.05  # it is the mean of six fits


def test_several_labels_have_probabilities_of_their_own() -> None:
    features, has = several_labels(300, 30, 4)
    head = fit_head(features, has, np.arange(300) % 5, n_classes=4, blocks=(30,))
    probabilities = head.probabilities(features)
    assert head.several
    assert probabilities == pytest.approx(sigmoid(head.logits(features)))
    assert ((probabilities >= 0.5) == has).mean() > 0.85
    assert ((head.fold_probabilities >= 0.5) == has).mean() > 0.8
    assert np.ptp(probabilities.sum(1)) > 1


def test_a_label_that_a_fold_alone_has_is_no_obstacle() -> None:
    features, has = several_labels(60, 10, 2)
    has[:, 1] = np.arange(60) == 0
    head = fit_head(features, has, np.arange(60) % 5, n_classes=2, blocks=(10,))
    assert np.isfinite(head.weights).all()
    assert (head.probabilities(features[1:])[:, 1] < 0.5).all()


def test_the_loss_of_several_labels_is_the_mean_of_their_own() -> None:
    logits, has = np.array([[2.0, -1.0], [800.0, -800.0]]), np.array([[True, True], [True, False]])
    expected = -np.log([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(1)), 1, 1]).mean()
    assert log_loss(logits, has) == pytest.approx(expected)
    assert sigmoid(np.array([-800.0, 0, 800])).tolist() == [0, 0.5, 1]
    assert scores(logits, has) == pytest.approx((0.75, -expected))
