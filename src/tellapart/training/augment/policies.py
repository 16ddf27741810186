"""How strongly pictures are varied: what each name of `Recipe.augment` stands for. No PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tellapart.errors import unknown_name

GLARED = 0.4  # part of the pictures that a policy with `glare` makes brighter


@dataclass(frozen=True)
class Policy:
    """Ranges that each picture's own variation is drawn from; zeros (and a zoom of 1) leave it as it is.

    Rotation, zoom, warp and light are each left out of a quarter of the pictures (fastai's `get_transforms`).
    """

    flip: float = 0.0  # part of the pictures that are mirrored left to right
    shift: float = 0.0  # whole pixels, up to this part of the side; what comes in is a reflection
    degrees: float = 0.0  # rotation to either side; 180: by any angle
    zoom: float = 1.0  # the strongest; its middle is drawn, so that it crops as well
    warp: float = 0.0  # how far the corners move, as a part of half the side: a camera that looks askance
    light: float = 0.0  # brightness and contrast
    tint: float = 0.0  # how much more or less each channel counts: lamps of other colours, cameras that balance white otherwise
    glare: float = 0.0  # how much brighter part of the pictures (`GLARED`) are, cut off at white: reflections, long exposures
    blur: float = 0.0  # part of the pictures that are shown at half their resolution: cameras of other sharpness, or farther away
    trivial: bool = False  # TrivialAugmentWide (arXiv:2103.10158) after all else: one of 14 changes, of any strength

    @property
    def is_none(self) -> bool:
        return self == Policy()

    def without(self, transforms: Iterable[str]) -> Policy:
        """This policy with these ("flip", "rotate", ...; see `TRANSFORMS`) left out. TrivialAugment turns too."""
        left = self
        for name in transforms:
            if name not in TRANSFORMS:
                raise unknown_name("transform", name, TRANSFORMS)
            left = TRANSFORMS[name](left)
        return left


LEVEL_DEGREES = 10.0  # what still counts as level: the default's
# What it takes to leave a transform out.
TRANSFORMS: dict[str, Callable[[Policy], Policy]] = {
    "flip": lambda policy: replace(policy, flip=0.0),
    "rotate": lambda policy: replace(policy, degrees=0.0, trivial=False),
    "turn": lambda policy: replace(policy, degrees=min(policy.degrees, LEVEL_DEGREES), trivial=False),
    "zoom": lambda policy: replace(policy, zoom=1.0),
    "warp": lambda policy: replace(policy, warp=0.0),
    "light": lambda policy: replace(policy, light=0.0, tint=0.0, glare=0.0, trivial=False),
}
POLICIES = {
    "none": Policy(),
    "flip": Policy(flip=0.5),
    # A pixel of 28: two, as CIFAR-10's recipes have them of 32, cost 0.3 points of Fashion-MNIST.
    "light": Policy(flip=0.5, shift=1 / 28),
    "default": Policy(flip=0.5, degrees=10.0, zoom=1.1, warp=0.2, light=0.2),  # fastai 1's `get_transforms()`
    "strong": Policy(flip=0.5, shift=1 / 14, trivial=True),
}
