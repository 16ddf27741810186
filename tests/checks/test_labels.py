from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.checks.labels import class_thresholds, confident_errors, find_wrong_labels, self_confidence


def random_probabilities(rng: np.random.Generator, n: int, n_classes: int) -> np.ndarray:
    values = rng.dirichlet(np.full(n_classes, 0.4), n).astype(np.float32)
    return values / values.sum(1, keepdims=True)


@st.composite
def judged(draw) -> tuple[np.ndarray, np.ndarray]:
    """Labels, every class among them, and probabilities."""
    n_classes = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    codes = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, draw(st.integers(5, 60)))])
    return codes, random_probabilities(rng, len(codes), n_classes)


@settings(deadline=None)  # the first example imports cleanlab
@given(judged())
def test_the_same_pictures_as_cleanlab(table: tuple[np.ndarray, np.ndarray]) -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed")
    codes, probabilities = table
    _, off_diagonal = count.compute_confident_joint(codes, probabilities, calibrate=False, return_indices_of_off_diagonals=True)
    by_argmax = np.flatnonzero(probabilities.argmax(1) != codes)
    assert confident_errors(codes, probabilities).tolist() == sorted(set(off_diagonal) & set(by_argmax))
    assert class_thresholds(codes, probabilities) == pytest.approx(count.get_confident_thresholds(codes, probabilities), abs=3e-6)


@settings(deadline=None)  # the first example imports cleanlab
@given(judged())
def test_the_same_order_as_cleanlab(table: tuple[np.ndarray, np.ndarray]) -> None:
    rank = pytest.importorskip("cleanlab.rank", reason="cleanlab is not installed")
    codes, probabilities = table
    assert self_confidence(codes, probabilities) == pytest.approx(rank.get_self_confidence_for_each_label(codes, probabilities))


@given(judged())
def test_no_error_is_named_that_the_model_agrees_with(table: tuple[np.ndarray, np.ndarray]) -> None:
    codes, probabilities = table
    rows = confident_errors(codes, probabilities)
    assert (probabilities[rows].argmax(1) != codes[rows]).all()


def test_a_wrong_label_is_named_with_the_likely_one(make_evidence) -> None:
    labels = ["rose"] * 5 + ["tulip"] * 5
    probabilities = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5, np.float32)
    probabilities[3] = 0.02, 0.98
    (finding,) = find_wrong_labels(make_evidence(labels, folds=probabilities))
    assert finding.text == "rose/3.jpg looks like tulip (0.98) and little like rose (0.02)."
    assert finding.suggestion == "Look at it; if you agree, relabel it to tulip."
    assert finding.score == pytest.approx(0.98)
    assert [(one.action, one.value, one.path) for one in finding.proposals] == [("relabel", "tulip", "rose/3.jpg")]


def test_a_hard_picture_is_not_a_wrong_label(make_evidence) -> None:
    probabilities = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5, np.float32)
    probabilities[3] = 0.45, 0.55  # below what tulips have on average
    assert find_wrong_labels(make_evidence(["rose"] * 5 + ["tulip"] * 5, folds=probabilities)) == []


def test_the_surest_comes_first(make_evidence) -> None:
    probabilities = np.array([[0.9, 0.1]] * 8 + [[0.2, 0.8]] * 8, np.float32)
    probabilities[3], probabilities[5] = (0.1, 0.9), (0.01, 0.99)
    found = find_wrong_labels(make_evidence(["rose"] * 8 + ["tulip"] * 8, folds=probabilities))
    assert [finding.paths[0] for finding in found] == ["rose/5.jpg", "rose/3.jpg"]


@pytest.mark.parametrize("known", [True, False])
def test_a_class_that_its_judge_had_never_seen_is_not_condemned(make_evidence, known: bool) -> None:
    """All daisies are of one group, so the head that judged them knew none."""
    labels = ["rose"] * 6 + ["tulip"] * 6 + ["daisy"] * 3
    probabilities = np.array([[0, 0.9, 0.1]] * 6 + [[0, 0.1, 0.9]] * 6 + [[0, 0.95, 0.05]] * 3, np.float32)
    probabilities[2] = 0, 0.02, 0.98
    numbers = np.array([0, 1, 2] * 4 + [1] * 3) if known else None
    groups = [""] * 12 + ["one plant"] * 3
    found = find_wrong_labels(make_evidence(labels, groups=groups, folds=probabilities, fold_numbers=numbers))
    assert [finding.paths for finding in found] == [("rose/2.jpg",)]


def test_a_class_that_no_head_knew_sets_no_threshold(make_evidence) -> None:
    """What daisies get by heads without daisies is near nothing: nearly all pictures would reach it."""
    labels = ["rose"] * 6 + ["tulip"] * 6 + ["daisy"] * 3
    probabilities = np.array([[0.02, 0.9, 0.08]] * 6 + [[0.02, 0.08, 0.9]] * 6 + [[0.01, 0.9, 0.09]] * 3, np.float32)
    probabilities[2] = 0.55, 0.35, 0.1  # most like a daisy, and not enough like a tulip
    numbers = np.array([0, 1, 2] * 4 + [1] * 3)
    assert find_wrong_labels(make_evidence(labels, folds=probabilities, fold_numbers=numbers)) == []


def test_without_probabilities_nothing_is_said(make_evidence) -> None:
    assert find_wrong_labels(make_evidence(["rose", "tulip"])) == []
    assert find_wrong_labels(make_evidence([], folds=np.zeros((0, 0), np.float32))) == []
