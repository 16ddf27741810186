from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import DataError
from tellapart.images import Fit
from tellapart.training.recipe import Recipe

pytest.importorskip("torch")
from tellapart.training.augment.augmenters import augmenter
from tellapart.training.augment.preview import GAP_PX, N_VIEWS, preview, write_preview


def test_a_row_holds_the_picture_and_its_views(pictures: list[str], tmp_path: Path) -> None:
    fit, augment = Fit(32), augmenter(Recipe())
    sheet = preview(pictures, fit, augment, n_pictures=3)
    assert sheet.size == (2 * GAP_PX + (N_VIEWS + 1) * (32 + GAP_PX), GAP_PX + 3 * (32 + GAP_PX))
    shown = np.asarray(sheet)
    assert np.array_equal(shown[GAP_PX : GAP_PX + 32, GAP_PX : GAP_PX + 32], fit.read(pictures[0]))
    views = [shown[GAP_PX : GAP_PX + 32, start : start + 32] for start in range(2 * GAP_PX + 38, sheet.width - 32, 38)]
    assert len({view.tobytes() for view in views}) == N_VIEWS
    assert np.array_equal(shown, np.asarray(preview(pictures, fit, augment, n_pictures=3)))
    write_preview(sheet, tmp_path / "preview.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "preview.png")), shown)


def test_what_cannot_be_read_is_passed_over(pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = str(tmp_path / "broken.png")
    sheet = preview([broken, *pictures[:1], broken], Fit(32), augmenter(Recipe()))
    assert sheet.height == 2 * GAP_PX + 32
    with pytest.raises(DataError, match="none of the pictures can be read: there is nothing to preview"):
        preview([broken], Fit(32), augmenter(Recipe()))
    with pytest.raises(DataError, match="none of the pictures"):
        preview([], Fit(32), augmenter(Recipe()))
