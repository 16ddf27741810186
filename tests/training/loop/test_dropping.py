from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from tellapart.training.loop.dropping import quick_dropout


@pytest.mark.parametrize("part", [0.25, 0.5])
def test_quick_dropout_leaves_out_its_part_and_keeps_the_mean(part: float) -> None:
    x = torch.ones(64, 8, 9, 9).to(memory_format=torch.channels_last).requires_grad_()
    dropped = quick_dropout(x, part, training=True)
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0.0, 1 / (1 - part)])
    assert (dropped == 0).float().mean().item() == pytest.approx(part, abs=0.02)
    torch.autograd.backward(dropped.sum())
    assert x.grad is not None
    assert x.grad.equal(dropped.detach())
    assert quick_dropout(x, part, training=False) is x


def test_quick_dropout_follows_the_seed() -> None:
    torch.manual_seed(3)
    first = quick_dropout(torch.ones(1000), 0.5, training=True)
    torch.manual_seed(3)
    assert quick_dropout(torch.ones(1000), 0.5, training=True).equal(first)
