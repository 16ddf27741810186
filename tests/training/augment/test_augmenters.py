from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tellapart.errors import CallError
from tellapart.training.augment.policies import GLARED, POLICIES, Policy
from tellapart.training.recipe import CHOICES, Recipe

torch = pytest.importorskip("torch")
from tellapart.training.augment import geometry  # noqa: E402
from tellapart.training.augment.augmenters import CHUNK_VALUES, augmenter, generator_of  # noqa: E402
from tellapart.training.augment.erasing import AREA, rectangles  # noqa: E402
from tellapart.training.augment.lighting import draw_glares, draw_lights, draw_tints, relight, tinted  # noqa: E402


@pytest.fixture
def pictures() -> torch.Tensor:
    """(64, 3, 20, 28) uint8, smooth and no two alike."""
    coarse = torch.rand(64, 3, 5, 7, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse * 255, size=(20, 28), mode="bilinear").to(torch.uint8)


def vary(pictures: torch.Tensor, *, seed: int = 0, policy: Policy | None = None, **choices: object) -> torch.Tensor:
    return augmenter(Recipe(**choices), policy=policy)(pictures, generator_of(seed, 0, 0))


def test_every_choice_of_the_recipe_is_a_policy() -> None:
    assert {"auto", *POLICIES} == set(CHOICES["augment"])


@pytest.mark.parametrize("name", ["light", "default", "strong"])
def test_a_variation_depends_on_the_seed_alone(pictures: torch.Tensor, name: str) -> None:
    before = pictures.clone()
    varied = vary(pictures, augment=name, erasing=0.5)
    assert (varied.shape, varied.dtype) == (pictures.shape, torch.uint8)
    assert torch.equal(varied, vary(pictures, augment=name, erasing=0.5))
    assert not torch.equal(varied, vary(pictures, seed=1, augment=name, erasing=0.5))
    assert torch.equal(pictures, before)
    changed = (varied != pictures).flatten(1).any(1).float().mean()
    assert changed > 0.8


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", ["light", "default", "strong"])
def test_any_number_of_channels_and_pictures(name: str, channels: int) -> None:
    for n in (0, 1, 3):
        given = torch.zeros(n, channels, 16, 16, dtype=torch.uint8)
        assert vary(given, augment=name, erasing=0.5).shape == given.shape


def test_none_leaves_the_pictures_as_they_are(pictures: torch.Tensor) -> None:
    assert torch.equal(vary(pictures, augment="none"), pictures)
    assert POLICIES["none"].is_none


def test_the_seeds_of_batches_do_not_meet() -> None:
    states = {generator_of(seed, epoch, batch).initial_seed() for seed in range(5) for epoch in range(5) for batch in range(20)}
    assert len(states) == 500


def test_chunks_do_not_change_what_comes_out(pictures: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = vary(pictures)
    assert pictures.numel() < CHUNK_VALUES
    monkeypatch.setattr("tellapart.training.augment.augmenters.CHUNK_VALUES", 5 * pictures[0].numel())
    assert torch.equal(vary(pictures), at_once)


def test_a_flip_mirrors_half_of_the_pictures(pictures: torch.Tensor) -> None:
    given = pictures.repeat(4, 1, 1, 1)
    for policy in (Policy(flip=0.5), Policy(flip=0.5, light=1e-9)):  # by whole pixels, and by sampling
        varied = vary(given, policy=policy)
        as_is = (varied.int() - given.int()).abs().amax((1, 2, 3)) <= 1
        mirrored = (varied.int() - given.flip(3).int()).abs().amax((1, 2, 3)) <= 1
        assert bool((as_is ^ mirrored).all())
        assert 96 <= int(mirrored.sum()) <= 160


@pytest.mark.parametrize("large", [1, 10**6])  # one at a time, and gathered
def test_a_shift_moves_whole_pixels_and_reflects(pictures: torch.Tensor, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "LARGE_VALUES", large)
    varied = vary(pictures, policy=Policy(shift=0.1))  # 2 px down and 3 px across
    wide = np.pad(pictures.numpy(), ((0, 0), (0, 0), (2, 2), (3, 3)), mode="reflect")
    seen = set()
    for row, one in enumerate(varied.numpy()):
        places = [(y, x) for y in range(5) for x in range(7) if np.array_equal(one, wide[row, :, y : y + 20, x : x + 28])]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) > 20


def test_turning_is_counter_clockwise_and_keeps_the_aspect(pictures: torch.Tensor) -> None:
    square = pictures[:, :, :20, :20].float()
    quarter = geometry.rotation(torch.full((64,), torch.pi / 2))
    assert torch.allclose(geometry.warp(square, quarter), square.rot90(1, (2, 3)), atol=1e-2)
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(80) - 39.5, indexing="ij")
    disc = (255 * torch.exp(-(x**2 + y**2) / 100))[None, None]  # round, and soft at its edge
    turned = geometry.warp(disc, geometry.rotation(torch.tensor([0.7]), aspect=2.0), padding="zeros")
    assert (turned - disc).abs().max() < 6  # with a wrong aspect, an ellipse: 80


def test_zoom_shows_a_part(pictures: torch.Tensor) -> None:
    corner = geometry.zoom(torch.full((64,), 2.0), torch.tensor([[-1.0, -1.0]]).expand(64, 2))
    shown = geometry.warp(pictures.float(), corner)
    upper_left = torch.nn.functional.interpolate(pictures.float(), scale_factor=2, mode="bilinear")[:, :, :20, :28]
    assert (shown - upper_left).abs().max() < 1.0


def test_a_warp_moves_the_corners() -> None:
    matrices = geometry.perspective(torch.tensor([[0.1, -0.2, 0.0, 0.15], [0.0, 0.0, 0.0, 0.0]]))
    assert torch.allclose(matrices[1], torch.eye(3), atol=1e-6)
    corner = matrices[0] @ torch.tensor([-1.0, 1.0, 1.0])  # lower left: stretched by "bottom" across and by "left" down
    assert torch.allclose(corner[:2] / corner[2], torch.tensor([-1.15, 1.1]), atol=1e-5)


def test_the_default_stays_within_its_ranges() -> None:
    policy = replace(POLICIES["default"], warp=0.0)
    matrices = geometry.draw_matrices(policy, 2000, 1.0, torch.Generator().manual_seed(0))
    scale = matrices[:, :2, :2].det().abs().sqrt()
    angles = torch.rad2deg(torch.atan2(-matrices[:, 0, 1], matrices[:, 1, 1])).abs()
    assert float(scale.min()) >= 1 / 1.1 - 1e-5
    assert float(scale.max()) <= 1 + 1e-5
    assert 9 < float(angles.max()) <= 10.001
    assert 0.2 < float((angles < 1e-4).float().mean()) < 0.3


def test_light_of_another_colour_changes_channels_alone() -> None:
    tints = draw_tints(0.15, 500, 3, torch.Generator().manual_seed(0))
    assert 0.85 <= float(tints.min()) < 0.852
    assert 1.148 < float(tints.max()) <= 1.15
    ramp = torch.arange(256.0).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    lit = tinted(ramp, torch.tensor([[1.0, 0.9, 1.1]]))
    assert torch.equal(lit[:, 0], ramp[:, 0])
    assert torch.allclose(lit[:, 1], ramp[:, 1] * 0.9)
    assert float(lit[:, 2].max()) == 255
    grey = torch.full((64, 3, 8, 8), 100, dtype=torch.uint8)
    varied = augmenter(Recipe(), policy=Policy(tint=0.15))(grey, torch.Generator().manual_seed(1))
    assert 80 < int(varied.min()) < int(varied.max()) < 120
    assert not varied[:, 0].equal(varied[:, 1])


def test_glare_cuts_off_at_white() -> None:
    glares = draw_glares(0.6, 2000, torch.Generator().manual_seed(0))
    assert glares.shape == (2000, 1)
    assert abs(float((glares > 1).float().mean()) - GLARED) < 0.03
    assert float(glares.min()) == 1
    assert 1.58 < float(glares.max()) <= 1.6
    halves = torch.cat([torch.full((64, 3, 8, 4), 100), torch.full((64, 3, 8, 4), 200)], 3).to(torch.uint8)
    varied = augmenter(Recipe(), policy=Policy(glare=0.6))(halves, torch.Generator().manual_seed(1))
    assert (varied >= halves).all()
    assert 150 <= int(varied[..., :4].max()) <= 160
    assert int(varied[..., 4:].max()) == 255
    both = augmenter(Recipe(), policy=Policy(glare=0.6, tint=0.15))(halves, torch.Generator().manual_seed(1))
    assert int(both.min()) < 90


def test_blur_halves_the_resolution_of_its_part_of_the_pictures() -> None:
    checks = ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 200).to(torch.uint8).expand(400, 3, 16, 16)
    varied = augmenter(Recipe(), policy=Policy(blur=0.3))(checks.clone(), torch.Generator().manual_seed(1))
    is_grey = (varied == 100).flatten(1).all(1)
    assert 0.25 < float(is_grey.float().mean()) < 0.35
    assert varied[~is_grey].equal(checks[~is_grey])


def test_light_stays_in_range_and_moves_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    brightness, contrast = draw_lights(0.2, 2000, generator)
    assert torch.allclose(brightness.abs().max(), torch.tensor(0.6 / 0.4).log(), atol=0.01)
    assert 0.8 <= float(contrast.min()) < 0.81
    assert 1.24 < float(contrast.max()) <= 1.2501
    ramp = torch.arange(256.0).reshape(1, 1, 16, 16)
    lit = relight(ramp, torch.tensor([0.4]), torch.tensor([1.2])).flatten()
    assert bool((lit.diff() >= 0).all())
    assert 0 <= float(lit.min()) < float(lit.max()) <= 255
    assert (relight(ramp, torch.zeros(1), torch.ones(1)) - ramp).abs().max() < 0.51


def test_erasing_fills_a_rectangle_of_some_pictures() -> None:
    given = torch.full((400, 3, 32, 32), 200, dtype=torch.uint8)
    varied = augmenter(Recipe(augment="none", erasing=0.25), mean=(1.0, 2.4, 3.0))(given, generator_of(0, 0, 0))
    erased = (varied != given).all(1)  # (n, h, w)
    assert 60 <= int(erased.flatten(1).any(1).sum()) <= 140
    assert varied.permute(0, 2, 3, 1)[erased].unique(dim=0).tolist() == [[1, 2, 3]]
    inside = rectangles(400, 100, 100, torch.Generator().manual_seed(0))
    area = inside.float().mean((1, 2))
    assert AREA[0] - 0.01 < float(area.min()) < float(area.max()) < AREA[1] + 0.01
    assert torch.equal(inside, inside.any(2)[:, :, None] & inside.any(1)[:, None, :])


def test_leaving_out() -> None:
    assert POLICIES["default"].without(["flip", "rotate"]) == replace(POLICIES["default"], flip=0.0, degrees=0.0)
    assert POLICIES["default"].without(["turn"]) == POLICIES["default"]
    assert Policy(degrees=180).without(["turn"]).degrees == 10
    assert not POLICIES["strong"].without(["turn"]).trivial  # it turns by up to 135 degrees
    with pytest.raises(CallError, match="unknown transform 'flop'; did you mean 'flip'"):
        Policy().without(["flop"])
