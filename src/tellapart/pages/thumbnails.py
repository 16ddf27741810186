"""Small pictures for a page that needs nothing else.

A thumbnail is a CSS background, so each is embedded once however often it is shown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from PIL import Image

from tellapart.errors import PictureError
from tellapart.images import open_picture
from tellapart.progress import Progress, silent

DENSITY = 1.5  # stored pixels per shown pixel: between plain and phone screens, half the bytes of 2
JPEG_QUALITY = 78
DECODE_THREADS = 8  # a guess: decoding leaves the interpreter lock, reading waits for the disk
NOT_EMBEDDED = "not embedded, to keep this page small"


@dataclass(frozen=True)
class Thumbnail:
    """A small picture as base64 JPEG, or the reason why there is none."""

    jpeg: str = ""
    reason: str = ""


class Thumbnails:
    """The embedded pictures by path; what is not among them is shown as a placeholder."""

    def __init__(self, by_path: dict[str, Thumbnail]) -> None:
        self._by_path = by_path
        self._css_class = {path: f"p{i}" for i, path in enumerate(by_path)}

    def __contains__(self, path: str) -> bool:
        return path in self._by_path

    def css(self) -> Iterator[tuple[str, str]]:
        """The CSS class and the base64 JPEG of each picture that could be opened."""
        return ((self._css_class[path], one.jpeg) for path, one in self._by_path.items() if one.jpeg)

    def css_class(self, path: str) -> str:
        """The CSS class that shows a picture; "" where there is a `reason` instead."""
        return "" if self.reason(path) else self._css_class[path]

    def reason(self, path: str) -> str:
        """Why a picture has no thumbnail; "" where it has one."""
        return self._by_path[path].reason if path in self._by_path else NOT_EMBEDDED


def open_thumbnails(paths: Sequence[str], side_px: int, *, progress: Progress = silent) -> Thumbnails:
    """The pictures at these paths, whole, their longer side at most `side_px`."""
    thumbnails = {}
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        for path, thumbnail in zip(paths, pool.map(partial(_thumbnail, side_px=side_px), paths), strict=True):
            thumbnails[path] = thumbnail
            progress("thumbnails", len(thumbnails), len(paths))
    return Thumbnails(thumbnails)


def _thumbnail(path: str, side_px: int) -> Thumbnail:
    try:
        picture = open_picture(path, min_side_px=side_px)
    except PictureError as error:
        return Thumbnail(reason=str(error))
    picture.thumbnail((side_px, side_px), Image.Resampling.BILINEAR)
    jpeg = BytesIO()
    picture.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return Thumbnail(jpeg=b64encode(jpeg.getvalue()).decode("ascii"))
