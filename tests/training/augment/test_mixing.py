from __future__ import annotations

import pytest

from tellapart.training.recipe import Recipe

torch = pytest.importorskip("torch")
from tellapart.training.augment.augmenters import generator_of  # noqa: E402
from tellapart.training.augment.mixing import Mixed, draw_shares, mix  # noqa: E402

N, K = 200, 4
LABELS = torch.arange(N) % K
# Each picture says its class by its grey, so that a mixed picture says in which parts it was mixed.
PICTURES = (LABELS * 60).to(torch.uint8)[:, None, None, None].expand(N, 3, 16, 16).contiguous()


def mixed(seed: int = 0, *, targets: torch.Tensor = LABELS, weights: torch.Tensor | None = None, **choices: float) -> Mixed:
    return mix(PICTURES, targets, Recipe(**choices), generator_of(seed, 0, 0), n_classes=K, weights=weights)


def test_without_mixing_only_the_labels_become_soft() -> None:
    same = mixed()
    assert same.pictures is PICTURES
    assert torch.equal(same.targets, torch.eye(K)[LABELS])
    assert same.weights is None


@pytest.mark.parametrize("choices", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str)
def test_labels_are_mixed_in_the_parts_that_are_seen(choices: dict[str, float]) -> None:
    for seed in range(4):
        found = mixed(seed, **choices)
        assert (found.pictures.dtype, found.pictures.shape) == (torch.uint8, PICTURES.shape)
        assert torch.allclose(found.targets.sum(1), torch.ones(N))
        greys = found.pictures.float().mean((1, 2, 3))
        told = found.targets @ (torch.arange(K) * 60.0)
        assert (greys - told).abs().max() < 0.6
        assert float((found.targets.max(1).values < 0.999).float().mean()) > 0.2
        assert torch.equal(found.pictures, mixed(seed, **choices).pictures)


def test_one_or_the_other_is_drawn_for_a_batch() -> None:
    kinds = {bool(torch.isin(mixed(seed, mixup=1.0, cutmix=1.0).pictures, PICTURES).all()) for seed in range(12)}
    assert kinds == {True, False}  # a cut picture holds the greys of whole ones alone
    assert torch.isin(mixed(cutmix=1.0).pictures, PICTURES).all()


def test_several_labels_and_weights_are_mixed_too() -> None:
    several = torch.stack([LABELS % 2, LABELS // 2, torch.ones(N), torch.zeros(N)], 1).float()
    found = mixed(targets=several, weights=1.0 + LABELS, mixup=1.0)
    assert torch.equal(found.targets[:, 2:], several[:, 2:])
    assert found.weights is not None
    told = found.targets[:, 0] + 2 * found.targets[:, 1]
    assert torch.allclose(found.weights, 1 + told, atol=1e-5)


def test_pictures_of_fractions_stay_fractions() -> None:
    found = mix(PICTURES / 255, LABELS, Recipe(mixup=1.0), generator_of(0, 0, 0), n_classes=K)
    assert found.pictures.dtype == torch.float32


def test_shares_are_betas() -> None:
    shares = draw_shares(20_000, 0.4, torch.Generator().manual_seed(0))
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(shares.var()) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.005)
