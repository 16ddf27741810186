"""Losses, against torch's and torchvision's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tellapart.training.loop.losses import make_loss, plain_loss
from tellapart.training.recipe import Recipe

DRAW = torch.Generator().manual_seed(0)
LOGITS = torch.randn(50, 4, generator=DRAW) * 3
LABELS = torch.randint(4, (50,), generator=DRAW)
SOFT = torch.rand(50, 4, generator=DRAW).softmax(dim=1)
HOT = (torch.rand(50, 4, generator=DRAW) > 0.5).float()
PLAIN = Recipe(label_smoothing=0.0)


@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "parts"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(targets: torch.Tensor, smoothing: float) -> None:
    found = make_loss(Recipe(label_smoothing=smoothing))(LOGITS, targets)
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, targets, label_smoothing=smoothing, reduction="none"))


def test_class_weights_are_torchs() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1])
    found = make_loss(PLAIN, class_weights=weights)(LOGITS, LABELS)
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, LABELS, weight=weights, reduction="none"))


def test_several_labels_are_torchs() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1])
    expected = functional.binary_cross_entropy_with_logits(LOGITS, HOT, reduction="none")
    torch.testing.assert_close(make_loss(PLAIN, several=True)(LOGITS, HOT), expected.mean(dim=1))
    torch.testing.assert_close(
        make_loss(PLAIN, several=True, class_weights=weights)(LOGITS, HOT), (expected * weights).mean(dim=1)
    )
    torch.testing.assert_close(plain_loss(several=True)(LOGITS, HOT), expected.mean(dim=1))


def test_smoothing_several_labels_leaves_half_of_it_to_the_other_answer() -> None:
    expected = functional.binary_cross_entropy_with_logits(LOGITS, HOT * 0.8 + 0.1, reduction="none").mean(dim=1)
    torch.testing.assert_close(make_loss(Recipe(label_smoothing=0.2), several=True)(LOGITS, HOT), expected)


def test_the_focal_loss_is_torchvisions() -> None:
    focal = pytest.importorskip("torchvision.ops").sigmoid_focal_loss
    recipe = replace(PLAIN, loss="focal", focus=2.0)
    found = make_loss(recipe, several=True)(LOGITS, HOT)
    torch.testing.assert_close(found, focal(LOGITS, HOT, alpha=-1, gamma=2.0).mean(dim=1))


def test_the_focal_loss_of_one_label_counts_what_is_right_for_less() -> None:
    plain, focal = (make_loss(replace(PLAIN, loss=name))(LOGITS, LABELS) for name in ("cross_entropy", "focal"))
    right = LOGITS.softmax(dim=1)[torch.arange(50), LABELS]
    torch.testing.assert_close(focal, (1 - right) ** 2 * plain)


def test_the_focal_loss_of_a_certain_answer_has_a_gradient() -> None:
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    make_loss(replace(PLAIN, loss="focal", focus=0.5))(logits, torch.tensor([0])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
