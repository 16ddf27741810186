"""A glimpse: a picture's hashes and what its file says, in a fifth of a glance's time, to find copies among many pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from tellapart.errors import PictureError
from tellapart.images.decoding import open_grey
from tellapart.images.hashes import hashes_of

HASHED_PX = 32  # the side that is hashed; docs/near-copies.md tells how much less would do
DECODED_PX = 28  # the side that is decoded at least: an eighth of 224, which is found as well as from 32; docs/near-copies.md
GLIMPSE = np.dtype(
    [
        ("hashes", np.uint64, (2,)),  # as it is, and mirrored
        ("width", np.uint32),  # px, upright
        ("height", np.uint32),
        ("n_bytes", np.uint32),
        ("format", "S8"),  # Pillow's name
    ]
)


def glimpses(sources: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """(N,) of kind `GLIMPSE`, and for each picture "", or why it cannot be read: its row then holds nothing."""
    rows, reasons, greys = np.zeros(len(sources), GLIMPSE), [""] * len(sources), [bytes(HASHED_PX**2)] * len(sources)
    for place, source in enumerate(sources):
        try:
            opened = open_grey(source, min_side_px=DECODED_PX)
        except PictureError as error:
            reasons[place] = str(error)
            continue
        small = opened.image.resize((HASHED_PX, HASHED_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
        greys[place] = small.tobytes()
        rows[place] = (0, *opened.size, opened.n_bytes, opened.format.encode())
    pictures = np.frombuffer(b"".join(greys), np.uint8).reshape(-1, HASHED_PX, HASHED_PX)
    rows["hashes"] = hashes_of(pictures.astype(np.float32))
    return rows, reasons
