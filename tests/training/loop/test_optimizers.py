"""Optimizers: who decays, at which rates."""

from __future__ import annotations

import pytest
import torch

from tellapart.training.loop.optimizers import make_optimizer, rate_parts, set_rate
from tellapart.training.recipe import Recipe


def test_norms_and_biases_do_not_decay(toys) -> None:
    network = toys.ToyNetwork()
    optimizer = make_optimizer(network, Recipe(weight_decay=0.1))
    decays = {id(parameter): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(decays) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decays[id(parameter)] == (0.1 if name in ("first.0.weight", "second.0.weight", "head.weight") else 0), name


def test_rates_lie_evenly_on_a_log_scale(toys) -> None:
    assert rate_parts(toys.ToyNetwork(pretrained=True), Recipe(body_lr=0.01)) == pytest.approx([0.01, 0.1, 1])
    assert rate_parts(toys.ToyNetwork(pretrained=True), Recipe(body_lr=0.0)) == [0, 0, 1]
    assert rate_parts(toys.ToyNetwork(pretrained=False), Recipe(body_lr=0.01)) == [1, 1, 1]
    optimizer = make_optimizer(toys.ToyNetwork(pretrained=True), Recipe(body_lr=0.01))
    set_rate(optimizer, 0.5)
    assert sorted({round(group["lr"], 9) for group in optimizer.param_groups}) == [0.005, 0.05, 0.5]


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD), ("rmsprop", torch.optim.RMSprop)]
)
def test_optimizers_are_torchs(toys, name: str, kind: type) -> None:
    optimizer = make_optimizer(toys.ToyNetwork(), Recipe(optimizer=name, momentum=0.8))
    assert type(optimizer) is kind
    if name != "adamw":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.8}
    if name == "sgd":
        assert {group["nesterov"] for group in optimizer.param_groups} == {True}


@pytest.mark.slow
def test_lamb_is_timms_and_goes_on_from_a_checkpoint(toys, tmp_path) -> None:
    """It counts its steps in the groups, not beside the weights."""
    pytest.importorskip("timm")
    from tellapart.training.loop.learning import learn

    recipe = Recipe(batch=16, optimizer="lamb")
    found = []
    for folder, stop in ((tmp_path / "whole", None), (tmp_path / "parts", 2)):
        for times in range(1 if stop is None else 2):
            network = toys.ToyNetwork()
            rows = learn(network, toys.ToyExamples(64, seed=1), toys.ToyExamples(20), recipe, lr=0.02, epochs=4, folder=folder)
            if stop and times == 0:
                _ = [next(rows) for _ in range(stop)]
                rows.close()
            else:
                assert len(list(rows)) == 4
        found.append(network.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
