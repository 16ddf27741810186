from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import CallError
from tellapart.images import Fit
from tellapart.inference import Classifier
from tellapart.inference.classifiers import LEFT_OUT, TURNED_FREELY
from tellapart.inference.runtimes import BATCH
from tellapart.inference.tta import CROPS, TURNS, VIEWS, OverViews, choose_views


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder)


def png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_keeps_shape_and_type(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), np.uint8)
    view = VIEWS[name](pixels)
    assert (view.shape, view.dtype) == (pixels.shape, np.uint8)
    assert (view == pixels).all() == (name == "as_is")


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_other_channels_is_that_of_each(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 6), np.uint8)
    view = VIEWS[name](pixels)
    assert view.shape == pixels.shape
    assert (view[..., 3:] == VIEWS[name](pixels[..., 3:])).all()


def test_views_show_what_they_say() -> None:
    pixels = np.zeros((1, 20, 20, 3), np.uint8)
    pixels[:, 0, 0] = 255  # the upper left corner
    assert VIEWS["mirrored"](pixels)[0, 0, -1].tolist() == [255] * 3
    assert VIEWS["top_left"](pixels)[0, 0, 0].tolist() == [255] * 3
    assert not any(VIEWS[name](pixels).any() for name in ("top_right", "bottom_left", "bottom_right"))
    corners = {"turned_90": (-1, 0), "turned_180": (-1, -1), "turned_270": (0, -1)}  # counter-clockwise
    assert all(VIEWS[name](pixels)[0][place].tolist() == [255] * 3 for name, place in corners.items())


def test_a_prediction_is_the_mean_over_its_views(classifier: Classifier, pictures: list[str]) -> None:
    given = [*pictures[:5], b"no picture", *pictures[5:7]]
    found = list(classifier.predict_many(given, tta=True))
    assert found[5].error
    assert [one.path for one in found] == [*pictures[:5], "", *pictures[5:7]]
    plain = list(classifier.predict_many(given))
    fit = Fit(classifier.manifest.fit.side_px, "squish")  # leaves a picture that is fitted as it is
    exact = Classifier(classifier.folder, replace(classifier.manifest, fit=fit), classifier.runtime, classifier._centres)
    for path, one, before in zip(given, found, plain, strict=True):
        if isinstance(path, bytes):
            continue
        mirrored = exact.predict(png(classifier.manifest.fit.read(path)[:, ::-1]))
        mean = {name: (before.probabilities[name] + mirrored.probabilities[name]) / 2 for name in classifier.classes}
        assert one.probabilities == pytest.approx(mean, abs=1e-6)
        assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]
    assert classifier.predict(pictures[0], tta=True) == found[0]


def test_more_views_can_be_named(classifier: Classifier, pictures: list[str]) -> None:
    mirrored_too = classifier.predict(pictures[0], tta=("as_is", "mirrored"))
    assert mirrored_too == classifier.predict(pictures[0], tta=True)
    assert classifier.predict(pictures[0], tta=CROPS).probabilities != mirrored_too.probabilities
    assert classifier.predict(pictures[0], tta=("as_is",)) == classifier.predict(pictures[0])


def test_what_mirroring_changes_is_not_mirrored(classifier: Classifier, pictures: list[str]) -> None:
    assert classifier.views(True) == ("as_is", "mirrored")
    figures = {**classifier.manifest.figures, LEFT_OUT: ["flip"]}
    told = Classifier(classifier.folder, replace(classifier.manifest, figures=figures), classifier.runtime, classifier._centres)
    assert told.views(True) == ("as_is",)
    assert told.predict(pictures[0], tta=True) == classifier.predict(pictures[0])
    assert told.views(["mirrored"]) == ("mirrored",)


def test_pictures_are_turned_for_a_network_that_learned_from_turned_ones(classifier: Classifier, pictures: list[str]) -> None:
    figures = {**classifier.manifest.figures, TURNED_FREELY: True, LEFT_OUT: ["flip"]}
    told = Classifier(classifier.folder, replace(classifier.manifest, figures=figures), classifier.runtime, classifier._centres)
    assert told.views(True) == TURNS
    assert told.views(False) == ("as_is",)
    fit = Fit(classifier.manifest.fit.side_px, "squish")
    exact = Classifier(classifier.folder, replace(classifier.manifest, fit=fit), classifier.runtime, classifier._centres)
    seen = classifier.manifest.fit.read(pictures[0])
    turned = [exact.predict(png(np.rot90(seen, quarters))).probabilities for quarters in range(4)]
    mean = {name: sum(one[name] for one in turned) / 4 for name in classifier.classes}
    assert told.predict(pictures[0], tta=True).probabilities == pytest.approx(mean, abs=1e-6)
    batch = np.stack([seen] * BATCH)
    [streamed], computed = OverViews(told.runtime, TURNS).stream([batch]), OverViews(told.runtime, TURNS).compute(batch)
    assert np.array_equal(streamed["probabilities"], computed["probabilities"])


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(CallError, match="unknown view 'mirored'; did you mean 'mirrored'"):
        choose_views(["mirored"])
    with pytest.raises(CallError, match="no view of the pictures is asked for; there are as_is, mirrored"):
        choose_views([])
    assert choose_views(["as_is", "mirrored", "as_is"]) == ("as_is", "mirrored")
