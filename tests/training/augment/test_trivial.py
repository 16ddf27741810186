from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
functional = pytest.importorskip("torchvision.transforms.v2.functional")
from torchvision.transforms.v2 import InterpolationMode, TrivialAugmentWide  # noqa: E402

from tellapart.training.augment.trivial import CHANGES, apply_trivial  # noqa: E402

BILINEAR = InterpolationMode.BILINEAR


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse * 255, size=(40, 48), mode="bicubic").clamp(0, 255).to(torch.uint8)


def affine(pictures: torch.Tensor, *, shear: tuple[float, float] = (0, 0), translate: tuple[int, int] = (0, 0)) -> torch.Tensor:
    degrees = [math.degrees(math.atan(part)) for part in shear]
    centre = [0, 0] if any(shear) else None
    return functional.affine(pictures, 0.0, list(translate), 1.0, degrees, interpolation=BILINEAR, center=centre)


THEIRS = {
    "identity": lambda x, s: x,
    "shear_x": lambda x, s: affine(x, shear=(s, 0)),
    "shear_y": lambda x, s: affine(x, shear=(0, s)),
    "translate_x": lambda x, s: affine(x, translate=(int(s), 0)),
    "translate_y": lambda x, s: affine(x, translate=(0, int(s))),
    "rotate": lambda x, s: functional.rotate(x, math.degrees(s), interpolation=BILINEAR),
    "brightness": lambda x, s: functional.adjust_brightness(x, 1 + s),
    "color": lambda x, s: functional.adjust_saturation(x, 1 + s),
    "contrast": lambda x, s: functional.adjust_contrast(x, 1 + s),
    "sharpness": lambda x, s: functional.adjust_sharpness(x, 1 + s),
    "posterize": lambda x, s: functional.posterize(x, int(abs(s))),
    "solarize": lambda x, s: functional.solarize(x, abs(s) * 255),
    "auto_contrast": lambda x, s: functional.autocontrast(x),
    "equalize": lambda x, s: functional.equalize(x),
}
STRENGTHS = {
    "translate_x": (7.0, -12.0),
    "translate_y": (7.0, -12.0),
    "rotate": (0.4, -2.3),
    "posterize": (2.0, 5.0, 8.0),
    "solarize": (0.0, 0.3, 1.0),
}


def test_the_changes_are_torchvisions() -> None:
    theirs = [name.lower() for name in TrivialAugmentWide._AUGMENTATION_SPACE]
    assert sorted(name.replace("_", "") for name in CHANGES) == sorted(theirs)
    assert set(THEIRS) == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_torchvisions(pictures: torch.Tensor, name: str) -> None:
    for strength in STRENGTHS.get(name, (0.5, -0.5, 0.99, -0.99)):
        ours = CHANGES[name][0](pictures, torch.full((len(pictures),), strength))
        assert (ours.int() - THEIRS[name](pictures, strength).int()).abs().max() <= 1, strength


def test_a_flat_picture_stays_flat() -> None:
    flat = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    for name in ("auto_contrast", "equalize"):
        assert torch.equal(CHANGES[name][0](flat, torch.zeros(2)), flat)


def test_a_small_picture_is_not_pushed_out_of_itself() -> None:
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    shifted = CHANGES["translate_x"][0](white, torch.tensor([32.0]))
    assert 0.6 < float((shifted > 0).float().mean()) < 0.7


def test_all_changes_are_drawn(pictures: torch.Tensor) -> None:
    given = pictures[:1].repeat(600, 1, 1, 1)
    varied = apply_trivial(given, torch.Generator().manual_seed(0))
    same = (varied == given).flatten(1).all(1).float().mean()
    assert 1 / 14 < float(same) < 3 / 14  # identity, and what was drawn without strength
    assert len(varied.flatten(1).unique(dim=0)) > 200
