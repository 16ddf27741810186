from __future__ import annotations

import numpy as np
import pytest

from tellapart.checks import outliers
from tellapart.checks.outliers import find_off_topic, neighbour_distances, spreads_from_median


def cluster(n: int, seed: int, *, n_features: int = 64) -> np.ndarray:
    """Directions near a common one."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=n_features) * 2 + rng.normal(size=(n, n_features))).astype(np.float16)


def elsewhere(n: int, *, n_features: int = 64) -> np.ndarray:
    return (np.random.default_rng(99).normal(size=(n, n_features)) * 2).astype(np.float16)


def test_strangers_among_two_classes_are_found(make_evidence) -> None:
    features = np.concatenate([cluster(100, 1), cluster(100, 2), elsewhere(4)])
    found = find_off_topic(make_evidence(["rose"] * 100 + ["tulip"] * 104, features=features))
    assert {finding.paths[0] for finding in found} == {f"tulip/{i}.jpg" for i in range(200, 204)}
    assert "is like none of the others: the nearest lie" in found[0].text
    scores = [finding.score for finding in found]
    assert scores == sorted(scores, reverse=True)
    assert 0.5 < min(scores) < max(scores) <= 1
    assert found[0].proposals[0].action == "drop"


def test_nothing_is_strange_in_a_clean_set(make_evidence) -> None:
    features = np.concatenate([cluster(100, 1), cluster(100, 2)])
    assert find_off_topic(make_evidence(["rose"] * 100 + ["tulip"] * 100, features=features)) == []


def test_a_small_class_is_not_strange(make_evidence) -> None:
    features = np.concatenate([cluster(150, 1), elsewhere(5)])
    assert find_off_topic(make_evidence(["rose"] * 150 + ["yeti"] * 5, features=features)) == []


def test_copies_of_a_stranger_do_not_hide_it(make_evidence) -> None:
    features = np.concatenate([cluster(150, 1), np.repeat(elsewhere(1), 30, axis=0)])
    contents = [*range(150), *[150] * 30]
    found = find_off_topic(make_evidence(["rose"] * 180, contents=contents, features=features))
    assert [finding.paths for finding in found] == [("rose/150.jpg",)]


def test_few_pictures_are_no_neighbourhood(make_evidence) -> None:
    features = np.concatenate([cluster(30, 1), elsewhere(2)])
    assert find_off_topic(make_evidence(["rose"] * 32, features=features)) == []


def test_distances_equal_the_plain_computation() -> None:
    features = cluster(70, 3).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    nearest = np.sort(cosines, axis=1)[:, -outliers.N_NEIGHBOURS :]
    assert neighbour_distances(features) == pytest.approx(1 - nearest.mean(1), abs=1e-5)


def test_many_pictures_are_compared_with_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.concatenate([cluster(400, 3), elsewhere(3)])
    monkeypatch.setattr(outliers, "MAX_REFERENCES", 100)
    monkeypatch.setattr(outliers, "CHUNK", 64)
    distances = neighbour_distances(features)
    assert distances.shape == (403,)
    assert set(np.argsort(-distances)[:3]) == {400, 401, 402}


def test_equal_distances_have_no_outliers() -> None:
    assert np.abs(spreads_from_median(np.full(100, 0.3))).max() < 1
