"""Explanations of many pictures, as heat maps over them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tellapart.errors import PictureError
from tellapart.files import printable, refuse_used, write_error
from tellapart.images import open_picture
from tellapart.inference import Classifier
from tellapart.inference.explaining import Explanation

SHOWN_PX = 448  # of a heat map's longer side
SPEAKS_FOR, SPEAKS_AGAINST = (230, 97, 0), (20, 100, 255)  # orange and blue, as on the server's page
STRONGEST = 200  # of 255: the picture stays to be seen below
LEAST = 0.1  # where the probability falls by less than this anywhere, the colours are faint
NAME_CHARS = 80


@dataclass(frozen=True)
class Explained:
    """What was made of one picture: an explanation and the file of its heat map, or the error that stopped it."""

    path: str
    explanation: Explanation | None = None
    heat_map: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        explanation = self.explanation and self.explanation.to_json()
        return {"path": self.path, "explanation": explanation, "heat_map": self.heat_map, "error": self.error}

    def text(self) -> str:
        """The most that the probability falls, in words; or the error."""
        if self.explanation is None:
            return str(self.error)
        label, share = printable(self.explanation.label), self.explanation.probability
        return f"{label} {share:.1%}, with a part hidden {share - self.explanation.drops.max():.1%} at least; {self.heat_map}"


def explain_files(classifier: Classifier, paths: Sequence[str], out: Path, *, label: str | None = None) -> Iterator[Explained]:
    """Write a heat map of each picture into the new folder `out`, and say what it shows.

    Raises CallError where `out` holds something or there is no such label, and StorageError.
    """
    refuse_used(out)
    for number, path in enumerate(paths, start=1):
        try:
            explanation, picture = classifier.explain(path, label=label), open_picture(path)
        except PictureError as error:
            yield Explained(path, error=str(error))
            continue
        stem = re.sub(r"[^\w.-]+", "_", Path(path).stem)[:NAME_CHARS]
        place = out / f"{number:0{len(str(len(paths)))}}-{stem}.png"  # numbered: two folders may hold the same name
        try:
            out.mkdir(parents=True, exist_ok=True)
            heat_map(picture, explanation).save(place)
        except OSError as error:
            raise write_error(place, error, then="or choose another --out") from error
        yield Explained(path, explanation, str(place))


def heat_map(picture: Image.Image, explanation: Explanation) -> Image.Image:
    """An RGB picture with what speaks for the label in orange, and what speaks against it in blue."""
    drops = explanation.drops
    strength = np.abs(drops) / max(LEAST, np.abs(drops).max()) * STRONGEST
    colours = np.where((drops > 0)[..., None], SPEAKS_FOR, SPEAKS_AGAINST)
    cells = Image.fromarray(np.concatenate([colours, strength[..., None]], 2).astype(np.uint8), "RGBA")
    scale = SHOWN_PX / max(picture.size)
    shown = picture.resize([max(1, round(side * scale)) for side in picture.size])
    left, top, right, bottom = (round(part * side) for part, side in zip(explanation.box, shown.size * 2, strict=True))
    heat = Image.new("RGBA", shown.size)
    heat.paste(cells.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC), (left, top))
    return Image.alpha_composite(shown.convert("RGBA"), heat).convert("RGB")
