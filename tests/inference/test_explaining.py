from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import CallError, PictureError
from tellapart.images import Fit
from tellapart.inference import Classifier
from tellapart.inference.explaining import CELLS, N_HIDDEN, drops_of, hidden, see


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder)


def test_every_cell_is_hidden_in_turn() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 70, 5), np.uint8)
    before = pixels.copy()
    pictures = list(hidden(pixels))
    assert np.array_equal(pixels, before)
    assert len(pictures) == N_HIDDEN == CELLS**2
    changed = np.stack([(one != pixels).any(2) for one in pictures]).reshape(CELLS, CELLS, 70, 70)
    assert [int(changed[row, column].sum()) for row, column in ((0, 0), (0, 3), (3, 3), (6, 6))] == [400, 600, 900, 400]
    for row in range(CELLS):
        for column in range(CELLS):
            assert changed[row, column, 10 * row + 5, 10 * column + 5]
    assert np.abs(pictures[0][0, 0] - pixels.mean((0, 1))).max() <= 0.5


def test_drops_stand_where_was_hidden() -> None:
    drops = drops_of(0.9, [0.9] * 16 + [0.1] + [0.95] * 32)
    assert drops.shape == (CELLS, CELLS)
    assert np.unravel_index(drops.argmax(), drops.shape) == (2, 2)
    assert (drops[2, 2], drops[0, 0], drops[6, 6]) == pytest.approx((0.8, 0, -0.05))


def test_a_classifier_explains_a_picture(classifier: Classifier, pictures: list[str]) -> None:
    explanation, prediction = classifier.explain(pictures[0]), classifier.predict(pictures[0])
    assert explanation.label == prediction.label
    assert np.abs(explanation.drops).max() <= 1
    assert explanation.box == pytest.approx((0.0625, 0.0625, 0.9375, 0.9375))
    other = classifier.explain(pictures[0], label=classifier.classes[-1])
    assert other.label == classifier.classes[-1]
    told = explanation.to_json()
    assert (told["rows"], told["columns"], len(told["drops"])) == (CELLS, CELLS, CELLS)
    assert np.abs(np.array(told["drops"]) - explanation.drops).max() <= 1e-6


def test_what_is_wrong_is_said(classifier: Classifier, pictures: list[str]) -> None:
    with pytest.raises(CallError, match="unknown label 'circel'; did you mean 'circle'"):
        classifier.explain(pictures[0], label="circel")
    with pytest.raises(PictureError, match="not a picture"):
        classifier.explain(b"text")
    with pytest.raises(CallError, match="is no picture"):
        classifier.explain(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_box_is_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    Image.new("RGB", (200, 100)).save(file, "JPEG", exif=exif)
    box = see(file.getvalue(), Fit(64, crop_frac=1.0)).box
    assert box == ((0.25, 0, 0.75, 1) if orientation == 1 else (0, 0.25, 1, 0.75))
