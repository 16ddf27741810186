"""A preview: what the network will be shown, as one picture."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tellapart.errors import DataError, PictureError
from tellapart.files import write_atomically
from tellapart.images import Fit, open_picture
from tellapart.pages import DENSITY
from tellapart.training.augment.augmenters import Augmenter, generator_of

N_PICTURES, N_VIEWS = 6, 7
GAP_PX = 6
SIDE_PX = round(96 * DENSITY)  # of a shown picture at most; larger ones are shrunk
WHITE = 255


def preview(paths: list[str], fit: Fit, augment: Augmenter, *, seed: int = 0, n_pictures: int = N_PICTURES) -> Image.Image:
    """A row for each of up to `n_pictures`, evenly chosen of `paths`: as it is, then `N_VIEWS` varied views.

    Raises DataError where none can be read; those that cannot are passed over.
    """
    fitted = _fitted(paths, fit, n_pictures)
    if not fitted:
        raise DataError("none of the pictures can be read: there is nothing to preview. Run: tellapart check DATA")
    rows = []
    for number, pixels in enumerate(fitted):
        copies = torch.tensor(pixels).permute(2, 0, 1).repeat(N_VIEWS, 1, 1, 1)  # (views, C, side, side)
        varied = augment(copies, generator_of(seed, 0, number)).permute(0, 2, 3, 1).numpy()
        rows.append([pixels, *varied])
    return _grid(rows, fit.side_px)


def write_preview(image: Image.Image, path: Path) -> None:
    """Write the preview as a PNG. Raises StorageError."""
    file = BytesIO()
    image.save(file, "PNG")
    write_atomically(path, file.getvalue())


def _fitted(paths: list[str], fit: Fit, n_pictures: int) -> list[np.ndarray]:
    """The first readable pictures of evenly spread places."""
    places = np.linspace(0, len(paths) - 1, min(len(paths), 4 * n_pictures)).astype(int)
    spread = [place for start in range(4) for place in places[start::4]]
    fitted = list[np.ndarray]()
    for place in spread:
        if len(fitted) == n_pictures:
            break
        try:
            fitted.append(fit.read(paths[place]))
        except PictureError:  # the training names it
            continue
    return fitted


def _grid(rows: list[list[np.ndarray]], side_px: int) -> Image.Image:
    side = min(side_px, SIDE_PX)
    pitch = side + GAP_PX
    sheet = Image.new("RGB", (GAP_PX * 2 + pitch * len(rows[0]), GAP_PX + pitch * len(rows)), (WHITE,) * 3)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            shown = open_picture(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.BICUBIC)
            apart = GAP_PX if x else 0  # the picture itself stands apart from its views
            sheet.paste(shown, (GAP_PX + apart + x * pitch, GAP_PX + y * pitch))
    return sheet
