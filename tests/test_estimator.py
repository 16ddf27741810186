from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tellapart.errors import CallError, DataError

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from tellapart import ImageClassifier


@pytest.fixture(scope="module")
def labels(pictures: list[str]) -> list[str]:
    return [Path(path).parent.name for path in pictures]


@pytest.fixture(scope="module")
def fitted(pictures: list[str], labels: list[str]) -> ImageClassifier:
    return ImageClassifier(size=96).fit(pictures, labels)


def test_options_are_parameters() -> None:
    estimator = ImageClassifier(size=96, balance=0.5)
    assert estimator.get_params() == {
        "arch": "efficientnet_lite0", "weights": "auto", "size": 96, "fit_mode": "crop", "epochs": None, "balance": 0.5,
        "seed": 0,
    }  # fmt: skip
    copy = clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == estimator.get_params()
    assert estimator.set_params(seed=3).seed == 3
    assert copy.seed == 0


def test_it_learns_names(fitted: ImageClassifier, pictures: list[str], labels: list[str]) -> None:
    assert fitted.classes_.tolist() == ["circle", "square", "triangle"]
    probabilities = fitted.predict_proba(pictures)
    assert probabilities.shape == (len(pictures), 3)
    assert probabilities.sum(1) == pytest.approx(np.ones(len(pictures)), abs=1e-3)
    assert fitted.predict(pictures).tolist() == fitted.classes_[probabilities.argmax(1)].tolist()
    assert fitted.score(pictures, labels) > 0.8


def test_it_learns_numbers_and_takes_path_objects(pictures: list[str], labels: list[str]) -> None:
    """Numbers sort as numbers: 10 comes after 9."""
    number_of = {"circle": 10, "square": 9, "triangle": -1}
    numbers = np.array([number_of[label] for label in labels])
    estimator = ImageClassifier(size=96).fit([Path(path) for path in pictures], numbers)
    assert estimator.classes_.tolist() == [-1, 9, 10]
    assert estimator.predict(np.array(pictures)).dtype == numbers.dtype
    assert estimator.score(pictures, numbers) > 0.8


def test_a_clone_is_not_fitted(fitted: ImageClassifier, pictures: list[str]) -> None:
    with pytest.raises(NotFittedError):
        clone(fitted).predict(pictures)


def test_it_cross_validates_over_paths(pictures: list[str], labels: list[str]) -> None:
    scores = cross_val_score(ImageClassifier(size=96), pictures, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.5  # chance: 1/3


def test_no_picture_has_no_prediction(fitted: ImageClassifier) -> None:
    assert fitted.predict_proba([]).shape == (0, 3)


def test_a_picture_that_cannot_be_read_is_named(
    fitted: ImageClassifier, pictures: list[str], labels: list[str], tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"1 pictures? cannot be read, such as .*notes\.jpg: not a picture \(text\)"):
        fitted.predict([*pictures, tmp_path / "notes.jpg"])
    with pytest.raises(DataError, match=r"1 pictures? cannot be read, such as .*notes\.jpg: not a picture \(text\)"):
        ImageClassifier(size=96).fit([*pictures, tmp_path / "notes.jpg"], [*labels, "circle"])
    with pytest.raises(DataError, match=r"1 pictures? cannot be read, such as .*absent\.jpg: cannot be read: No such file"):
        ImageClassifier(size=96).fit([*pictures, tmp_path / "absent.jpg"], [*labels, "circle"])


def test_missing_pictures_are_named_even_where_no_class_is_left() -> None:
    with pytest.raises(DataError, match=r"2 pictures cannot be read, such as a\.jpg"):
        ImageClassifier(size=96).fit(["a.jpg", "b.jpg"], ["daisy", "rose"])


def test_one_class_is_refused_by_its_name(pictures: list[str]) -> None:
    with pytest.raises(DataError, match=r"circle|at least 2"):
        ImageClassifier(size=96).fit(pictures[:5], ["circle"] * 5)


def test_labels_must_be_as_many_as_paths(pictures: list[str]) -> None:
    with pytest.raises((DataError, ValueError), match=r"5 paths but 4 labels|inconsistent"):
        ImageClassifier(size=96).fit(pictures[:5], ["circle"] * 2 + ["square"] * 2)


def test_a_column_of_labels_is_a_list_of_labels(fitted: ImageClassifier, pictures: list[str], labels: list[str]) -> None:
    estimator = ImageClassifier(size=96).fit(pictures, np.array(labels)[:, None])
    assert estimator.classes_.tolist() == ["circle", "square", "triangle"]
    assert estimator.predict(pictures).tolist() == fitted.predict(pictures).tolist()


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (
            np.eye(3),
            r"y has the shape \(3, 3\); give one label a picture, \(N,\); several a picture are learned from tables, "
            r"by tellapart\.train\. One-hot rows: y\.argmax\(1\)",
        ),
        (np.array("a"), r"y has the shape \(\)"),
        (["owl"] * 3, r"y holds one class, 'owl'; telling apart needs at least 2\. Add pictures of another class\."),
        ([7, 7, 7], r"y holds one class, 7; telling apart"),
        ([["a"], ["a", "b"], ["c"]], "y is no column of labels; give one label a picture"),
        (["a", float("nan"), "b"], r"1 label is missing \(None or NaN\), such as of row 1\. Leave out the pictures"),
        (np.array([[0.0], [np.nan], [np.nan]]), r"2 labels are missing \(None or NaN\), such as of row 1, 2\."),
        ([None, "a", "b"], r"1 label is missing \(None or NaN\), such as of row 0\."),
        (np.array(["a", 1, 2], dtype=object), "the labels are of kinds that cannot be sorted together"),
    ],
)
def test_labels_that_cannot_be_meant(y: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        ImageClassifier(size=96).fit(["1.png", "2.png", "3.png"], y)


def test_impossible_options_are_refused_at_fit(pictures: list[str], labels: list[str]) -> None:
    with pytest.raises(CallError, match="unknown fit 'stretch'"):
        ImageClassifier(fit_mode="stretch").fit(pictures, labels)
