from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tellapart.checks import appearance
from tellapart.checks.appearance import Appearance, grey_histogram, measure
from tellapart.images import GLANCE

SIDE_PX = GLANCE["thumbnail"].shape[0]


def noise(n: int) -> np.ndarray:
    glances = np.zeros(n, GLANCE)
    glances["thumbnail"] = np.random.default_rng(0).integers(0, 256, (n, SIDE_PX, SIDE_PX, 3))
    glances["sharpness"] = 500.0
    return glances


def test_figures_equal_the_plain_computation() -> None:
    glances = noise(3)
    found = measure(glances)
    for row, thumbnail in enumerate(glances["thumbnail"]):
        grey = np.asarray(Image.fromarray(thumbnail).convert("L"), float)
        assert found.brightness[row] == pytest.approx(grey.mean() / 255, abs=0.003)
        assert found.shadows[row] == pytest.approx(np.quantile(grey, 0.05) / 255, abs=0.01)
        assert found.highlights[row] == pytest.approx(np.quantile(thumbnail.max(2), 0.99) / 255, abs=0.005)
        assert found.sharpness[row] == pytest.approx(500 / (grey.var() + appearance.NOISE_VARIANCE), rel=0.02)
    assert found.colour_range == pytest.approx(1.0)


def test_one_tone_has_no_entropy_and_all_tones_have_eight_bits() -> None:
    tones = np.zeros((2, 256, 3), np.uint8)
    tones[1] = np.arange(256)[:, None]
    histogram = grey_histogram(tones)
    assert histogram.sum(1) == pytest.approx(1.0)
    assert (histogram[1] > 0).all()
    glances = noise(1)
    glances["thumbnail"] = 200
    assert measure(glances).entropy_bits[0] == pytest.approx(0, abs=1e-5)


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(noise(7))
    monkeypatch.setattr(appearance, "CHUNK", 3)
    for name in Appearance.__dataclass_fields__:
        assert getattr(measure(noise(7)), name) == pytest.approx(getattr(whole, name), rel=1e-4)


def test_no_pictures_have_no_figures() -> None:
    assert measure(noise(0)).brightness.shape == (0,)
