"""The running mean of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tellapart.training.loop.averages import Average


def test_it_is_the_exponential_mean_and_leaves_the_weights_alone() -> None:
    network = nn.BatchNorm1d(1)
    average, expected = Average(network, decay=0.5), torch.ones(1)
    for value in (3.0, 5.0, 9.0):
        nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)
        average.update()
        decay = min(0.5, average.n_steps / (average.n_steps + 10))
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert network.weight.item() == pytest.approx(expected.item())
        assert 3 < network.running_mean.item() < 9
    assert network.weight.item() == network.running_mean.item() == 9


def test_weights_come_back_after_an_error() -> None:
    network = nn.Linear(1, 1)
    before = network.weight.item()
    average = Average(network, decay=0.9)
    nn.init.constant_(network.weight, 7.0)
    seen = []

    def fail() -> None:
        with average.in_place():
            seen.append(network.weight.item())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (seen, network.weight.item()) == ([before], 7)
