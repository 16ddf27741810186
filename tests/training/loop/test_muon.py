"""Muon: which weights it turns, what it makes of a matrix, going on from a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tellapart.training.loop.learning import learn
from tellapart.training.loop.muon import Muon, orthogonalised, suits_muon
from tellapart.training.loop.optimizers import make_optimizer, set_rate
from tellapart.training.networks.making import make_network
from tellapart.training.recipe import Recipe


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_a_matrix_becomes_orthogonal_in_its_own_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalised(matrix) @ right.T
    assert torch.linalg.svdvals(orthogonalised(matrix)).max() < 1.25
    assert turned.diag().min() > 0.6
    assert (turned - torch.diag(turned.diag())).abs().max() < 0.05  # bfloat16


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(4, 9)), torch.zeros(4, 9))


def test_only_matrices_between_the_first_and_the_last_layer_are_turned() -> None:
    pictures = torch.zeros(8, 3, 28, 28, dtype=torch.uint8)
    network = make_network(Recipe(arch="tutorial_cnn"), pictures, n_classes=4, levels=([100.0] * 3, [50.0] * 3))
    optimizer = make_optimizer(network, Recipe(arch="tutorial_cnn"))
    assert isinstance(optimizer, Muon)
    turned = {id(p) for group in optimizer.param_groups if group["orthogonal"] for p in group["params"]}
    assert {name for name, p in network.named_parameters() if id(p) in turned} == {"second.weight", "dense.weight"}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_kernels_of_few_inputs_are_not_turned() -> None:
    assert not suits_muon(nn.Conv2d(3, 32, 3).weight)
    assert not suits_muon(nn.Conv2d(32, 32, 3, groups=32).weight)
    assert not suits_muon(nn.Conv2d(32, 32, 3).bias)
    assert suits_muon(nn.Conv2d(32, 64, 1).weight)


def test_a_turned_weight_moves_by_its_rate_and_the_others_as_by_adamw() -> None:
    torch.manual_seed(0)
    matrix, vector = nn.Parameter(torch.randn(32, 32)), nn.Parameter(torch.ones(5))
    own = [{"params": [matrix], "weight_decay": 0.0, "part": 1.0, "orthogonal": True}]
    optimizer = Muon([*own, {"params": [vector], "weight_decay": 0.0, "part": 1.0, "orthogonal": False}], lr=0.0)
    before = matrix.detach().clone()
    matrix.grad, vector.grad = torch.randn(32, 32), torch.full((5,), 7.0)
    set_rate(optimizer, 0.01)
    optimizer.step()
    moves = torch.linalg.svdvals(matrix.detach() - before)
    assert moves.max() < 0.04 * 1.25  # four times the rate of the others
    assert moves.median() > 0.04 * 0.6
    assert torch.allclose(vector.detach(), torch.full((5,), 0.99))  # Adam's first step is the rate
    assert len(optimizer.param_groups) == 2


def test_it_goes_on_from_a_checkpoint(toys, tmp_path) -> None:
    recipe, found = Recipe(batch=16, optimizer="muon"), []
    for folder, stops in ((tmp_path / "whole", (4,)), (tmp_path / "parts", (2, 4))):
        for stop in stops:
            network = toys.ToyNetwork()
            rows = learn(network, toys.ToyExamples(64, seed=1), toys.ToyExamples(20), recipe, lr=0.02, epochs=4, folder=folder)
            for _ in range(stop):
                next(rows)
            rows.close() if stop < 4 else list(rows)
        found.append(network.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
