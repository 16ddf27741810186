from __future__ import annotations

import numpy as np
import pytest

from tellapart.checks.shortcuts import find_shortcuts, held_out_votes, told_apart

N = 100
LABELS = ["night"] * N + ["noon"] * N + ["dusk"] * N


def per_class(*values: object) -> np.ndarray:
    return np.repeat(np.array(values), N, axis=0)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"format": per_class(b"PNG", b"JPEG", b"JPEG")}, "file format"),
        ({"mode": per_class(b"L", b"RGB", b"RGB")}, "colour mode"),
        ({"camera": per_class(b"Nikon D70", b"", b"")}, "camera"),
        ({"width": per_class(600, 300, 300), "height": per_class(400, 200, 200)}, "size in pixels"),
        ({"width": per_class(200, 300, 300), "height": per_class(300, 200, 200)}, "aspect ratio"),
    ],
)
def test_a_property_that_gives_a_class_away(make_evidence, fields: dict[str, np.ndarray], name: str) -> None:
    (finding,) = find_shortcuts(make_evidence(LABELS, **fields))
    assert finding.text == f"The {name} alone tells night (1.00) from the rest (balanced accuracy; 0.50 is chance)."
    assert finding.score == 1
    assert finding.paths[0] == "night/0.jpg"
    assert finding.suggestion.startswith("Collect pictures of night and of the others from the same sources")


def test_brightness_that_gives_classes_away(make_evidence) -> None:
    levels = np.random.default_rng(1).normal(np.repeat([60, 120, 180], N), 8).clip(0, 255)
    thumbnails = np.broadcast_to(levels[:, None, None, None], (3 * N, 48, 48, 3)).astype(np.uint8)
    (finding,) = find_shortcuts(make_evidence(LABELS, thumbnail=thumbnails))
    assert finding.text.startswith("The brightness alone tells ")
    assert all(name in finding.text for name in ("night", "noon", "dusk"))


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_on_random_labels(make_evidence, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 400))
    labels = rng.choice([f"c{i}" for i in range(rng.integers(2, 8))], n).tolist()
    fields = {
        "width": rng.integers(100, 2000, n),
        "height": rng.integers(100, 2000, n),
        "format": rng.choice(np.array([b"JPEG", b"PNG", b"WEBP"]), n, p=[0.9, 0.07, 0.03]),
        "mode": rng.choice(np.array([b"RGB", b"L"]), n),
        "camera": rng.choice(np.array([f"camera {i}".encode() for i in range(40)]), n),
        "thumbnail": rng.integers(0, 256, (n, 1, 1, 1)),
    }
    assert find_shortcuts(make_evidence(labels, **fields)) == []


def test_a_handful_of_pictures_proves_nothing(make_evidence) -> None:
    labels = ["night"] * 9 + ["noon"] * 50
    evidence = make_evidence(labels, format=[b"PNG"] * 9 + [b"JPEG"] * 50)
    assert [finding.text.split(" alone")[0] for finding in find_shortcuts(evidence)] == ["The file format"]
    assert "night" not in find_shortcuts(evidence)[0].text.split("from")[0]


def test_one_class_has_no_shortcut(make_evidence) -> None:
    assert find_shortcuts(make_evidence(["rose"] * 50)) == []


def test_what_cannot_be_parted_has_no_shortcut(make_evidence) -> None:
    labels = ["night"] * 20 + ["noon"] * 20
    fields = {"format": [b"PNG"] * 20 + [b"JPEG"] * 20}
    assert find_shortcuts(make_evidence(labels, **fields))
    assert find_shortcuts(make_evidence(labels, groups=["one evening"] * 40, **fields)) == []


def test_values_are_judged_on_folds_that_were_not_seen() -> None:
    values = np.arange(100).astype("S4")  # each value once: learnt by heart, it says nothing of the others
    votes = held_out_votes(values, np.arange(100) % 2, np.arange(100) % 5)
    assert not votes.any()


def test_told_apart_is_balanced() -> None:
    is_class = np.arange(100) < 10
    accuracy, sigma = told_apart(is_class, is_class)
    assert accuracy == 1
    assert sigma > 0
    assert told_apart(np.zeros(100, bool), is_class)[0] == 0.5
