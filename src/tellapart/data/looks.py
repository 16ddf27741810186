"""What a few of a table's pictures are like, which stand for all: their sizes, and how many channels they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from tellapart.errors import PictureError
from tellapart.images import Fit
from tellapart.images.decoding import open_described
from tellapart.images.limits import RGB_CHANNELS

LOOKED_AT = 32  # pictures, evenly spread; a guess at how many stand for all
COUNTED_IN = 4  # pictures tell how many channels all have
SMALL_PX = 8  # a large JPEG need not be decoded whole to be measured


@dataclass(frozen=True)
class Looks:
    """What those of the pictures have that can be read."""

    sizes: tuple[tuple[int, int], ...]  # width and height in px
    n_channels: int  # what most have; 3 of grey and coloured ones

    @property
    def sides_px(self) -> tuple[int, ...]:
        """The shorter sides, in order."""
        return tuple(sorted(map(min, self.sizes)))

    @property
    def side_px(self) -> int:
        """Their median, 0 where no picture can be read."""
        return median_low(self.sides_px) if self.sizes else 0

    def side_note(self, fit: Fit) -> str:
        """How the side of a fit that was chosen for these pictures compares with theirs."""
        side_px = fit.side_px
        if set(self.sizes) == {(side_px, side_px)}:
            return f"The network takes pictures of {side_px} px, their own side."
        if len(set(self.sizes)) == 1:
            theirs = f"they are of {self.sizes[0][0]} x {self.sizes[0][1]} px"
        else:
            theirs = f"their shorter sides are {self.sides_px[0]} to {self.sides_px[-1]} px, the median {self.side_px}"
        oblong = "" if all(width == height for width, height in self.sizes) else f" What is not square: --fit {fit.mode}."
        return f"The network takes pictures of {side_px} px; {theirs}.{oblong} Another side: --size."


def look(paths: Sequence[str], *, n: int = LOOKED_AT) -> Looks:
    """What about `n` of the pictures at these paths are like."""
    sizes, channels = list[tuple[int, int]](), Counter[int]()
    for path in paths[:: max(1, len(paths) // n)][:n]:
        try:
            opened = open_described(path, min_side_px=SMALL_PX)
        except PictureError:
            continue
        sizes.append(opened.size)
        channels[opened.n_channels] += 1
    return Looks(tuple(sizes), channels.most_common(1)[0][0] if channels else RGB_CHANNELS)


def n_channels_of(paths: Sequence[str]) -> int:
    """How many channels most of a few of the pictures have; 3 of grey and coloured ones."""
    return look(paths, n=COUNTED_IN).n_channels
