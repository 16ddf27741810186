"""The one resize: how a picture of any shape becomes the square that a model sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from tellapart.errors import CallError, PictureError, unknown_name
from tellapart.images.decoding import Opened, Source, open_described
from tellapart.images.limits import MAX_CHANNELS, RGB_CHANNELS
from tellapart.words import counted

MID_GREY = (128, 128, 128)  # what padding holds: about 0 after the usual normalisation
FILTER = Image.Resampling.BICUBIC  # antialiased: Pillow widens the kernel when it shrinks


@dataclass(frozen=True)
class Fit:
    """A square of `side_px`. "crop" keeps the middle, "pad" adds grey bars, "squish" ignores the aspect.

    `crop_frac` is the part of the shorter side that a crop keeps (0.875: the ImageNet convention, 224 of 256). `n_channels` are
    taken: 3 of any grey or coloured picture, as RGB; another number of pictures that have just so many.
    """

    side_px: int = 224
    mode: str = "crop"
    crop_frac: float = 0.875
    n_channels: int = RGB_CHANNELS

    def __post_init__(self) -> None:
        if self.mode not in FITS:
            raise unknown_name("fit", self.mode, FITS)
        if not isinstance(self.side_px, int) or not 8 <= self.side_px <= 4096:
            raise CallError(f"the input side is {self.side_px} px; whole numbers between 8 and 4096 are possible")
        if not 0 < self.crop_frac <= 1:
            raise CallError(f"crop_frac is {self.crop_frac}; it is a part of the side, above 0 and at most 1")
        if not isinstance(self.n_channels, int) or not 2 <= self.n_channels <= MAX_CHANNELS:
            raise CallError(f"n_channels is {self.n_channels}; it is 3 for grey and coloured pictures, else 2 to {MAX_CHANNELS}")

    def apply(self, image: Image.Image) -> np.ndarray:
        """The fitted image, (side, side, 3) uint8 of an RGB one, (side, side) of a grey one."""
        return np.asarray(FITS[self.mode](image, self))

    def of(self, opened: Opened) -> np.ndarray:
        """The fitted picture, (side, side, n_channels) uint8. Raises PictureError where it has another number of channels."""
        if opened.n_channels != self.n_channels:
            wanted = "3 (red, green and blue)" if self.n_channels == RGB_CHANNELS else self.n_channels
            raise PictureError("channels", f"has {counted(opened.n_channels, 'channel')}, where {wanted} are wanted")
        if not opened.bands:
            return self.apply(opened.image)
        return np.stack([self.apply(band) for band in opened.bands], 2)

    def read(self, source: Source) -> np.ndarray:
        """Open and fit a picture: (side, side, n_channels) uint8. Raises PictureError."""
        return self.of(open_described(source, min_side_px=self.decoded_px))

    def box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """What the square shows of an upright picture of this width and height: left, top, right and bottom in parts of them.

        Below 0 or above 1 where it has bars.
        """
        width, height = size
        shown = {"crop": min(size) * self.crop_frac, "pad": max(size)}.get(self.mode)
        across, down = (shown / width, shown / height) if shown else (1.0, 1.0)
        return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2

    @property
    def decoded_px(self) -> int:
        """The least side that a picture is to be decoded at: twice the target's, within rounding of a full decode."""
        return 2 * round(self.side_px / self.crop_frac)

    def to_json(self) -> dict[str, Any]:
        """All but the channels, which follow from the network."""
        return {name: value for name, value in asdict(self).items() if name != "n_channels"}


def _crop(image: Image.Image, fit: Fit) -> Image.Image:
    side = min(image.size) * fit.crop_frac
    left, top = ((length - side) / 2 for length in image.size)
    # One resize of the middle alone; the filter does not look beyond the box.
    return image.resize((fit.side_px, fit.side_px), FILTER, box=(left, top, left + side, top + side))


def _pad(image: Image.Image, fit: Fit) -> Image.Image:
    scale = fit.side_px / max(image.size)
    small = image.resize([max(1, round(length * scale)) for length in image.size], FILTER)
    square = Image.new(image.mode, (fit.side_px, fit.side_px), MID_GREY[: len(image.getbands())])
    width, height = small.size
    square.paste(small, ((fit.side_px - width) // 2, (fit.side_px - height) // 2))
    return square


def _squish(image: Image.Image, fit: Fit) -> Image.Image:
    return image.resize((fit.side_px, fit.side_px), FILTER)


FITS: dict[str, Callable[[Image.Image, Fit], Image.Image]] = {"crop": _crop, "pad": _pad, "squish": _squish}
