"""The finder of rates, and the plan."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tellapart.errors import TellapartError
from tellapart.training.loop.examples import Batch
from tellapart.training.loop.finder import find_lr, make_sweep
from tellapart.training.loop.learning import learn
from tellapart.training.loop.lessons import Lesson
from tellapart.training.loop.planning import plan_training
from tellapart.training.loop.teaching import teach
from tellapart.training.recipe import Recipe

RECIPE = Recipe(batch=16)


def test_a_found_rate_is_one_that_learns_and_the_network_is_as_it_was(toys) -> None:
    network, examples = toys.ToyNetwork(), toys.ToyExamples(200, seed=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    sweep = find_lr(network, examples, RECIPE)
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(3)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert 20 < len(sweep.rates) == len(sweep.losses) <= 100
    assert 1e-4 < sweep.suggestion == sweep.valley < 1
    assert sweep == find_lr(network, examples, RECIPE)
    *_, last = learn(network, examples, toys.ToyExamples(45, drawn_from=1), RECIPE, lr=sweep.suggestion, epochs=8)
    assert last.valid_accuracy > 0.8


def test_steepest_and_valley_of_a_known_curve() -> None:
    """Flat to 1e-4, falling to 1e-1, steepest at 1e-2, then rising."""
    rates = [10 ** (-6 + i / 10) for i in range(71)]
    losses = [2 - 1 / (1 + math.exp(-4 * (math.log10(rate) + 2))) + max(0, math.log10(rate) + 0.5) ** 2 for rate in rates]
    sweep = make_sweep(rates, losses)
    assert sweep.steepest == pytest.approx(1e-2, rel=0.3)
    assert 1e-4 < sweep.valley < 1e-2


def test_it_stops_where_the_loss_diverges(toys) -> None:
    network = toys.ToyNetwork(norms=False)
    sweep = find_lr(network, toys.ToyExamples(64, seed=1), Recipe(batch=16, optimizer="sgd", weight_decay=10.0))
    assert len(sweep.rates) < 100
    assert all(math.isfinite(loss) for loss in sweep.losses)


def test_a_loss_that_is_no_number_is_said(toys) -> None:
    class Spoiled(toys.ToyExamples):
        def batches(self, *arguments, **options) -> Iterator[Batch]:
            for batch in super().batches(*arguments, **options):
                yield Batch(batch.inputs * math.nan, batch.targets)

    with pytest.raises(TellapartError, match="the loss diverges from a rate of 1e-06 on: look at the pictures"):
        find_lr(toys.ToyNetwork(), Spoiled(64, seed=1), RECIPE)


def lesson(network: Any, examples: Any, held: Any, **fields: Any) -> Lesson:
    recipe = Recipe(**{"batch": 16, "lr": 0.02, **fields})
    return Lesson(network, examples, held, recipe, "all", default_epochs=7, most_epochs=50)


def test_a_plan_fits_its_budget_and_leaves_the_network_alone(toys) -> None:
    parts = toys.ToyNetwork(), toys.ToyExamples(200, seed=1), toys.ToyExamples(45)
    before = {name: tensor.clone() for name, tensor in parts[0].state_dict().items()}
    plan = plan_training(lesson(*parts))
    assert all(torch.equal(tensor, before[name]) for name, tensor in parts[0].state_dict().items())
    assert (plan.epochs, plan.batch, plan.part, plan.budget_s) == (7, 16, "all", None)
    assert plan.seconds == pytest.approx(7 * plan.epoch_s)
    assert plan_training(lesson(*parts), budget_s=3600).epochs == 50
    assert plan_training(lesson(*parts, epochs=3), budget_s=3600).epochs == 3
    tight = plan_training(lesson(*parts), budget_s=1e-6)
    assert tight.epochs == 1
    assert "1 epoch of about" in tight.text
    assert "fits into the 1e-06 s that are left for it." in tight.text


def test_a_plan_says_what_learns_and_what_is_sought_first(toys) -> None:
    parts = toys.ToyNetwork(pretrained=True), toys.ToyExamples(64, seed=1), toys.ToyExamples(45)
    n_head, n_all = 8 * 3 + 3, sum(parameter.numel() for parameter in parts[0].parameters())
    plan = plan_training(lesson(*parts, body_lr=0, lr=None))
    assert (plan.n_trainable, plan.n_frozen) == (n_head, n_all - n_head)
    assert plan.seconds > 7 * plan.epoch_s > 0
    assert plan.text.startswith(
        f"To train is the whole network: 27 parameters, {n_all - n_head:,} frozen. First the rate is sought"
    )
    assert plan.to_json()["seconds"] == plan.seconds


def test_a_lesson_without_time_has_no_plan(toys, tmp_path: Path) -> None:
    parts = toys.ToyNetwork(), toys.ToyExamples(64, seed=1), toys.ToyExamples(45)
    taught = teach(lesson(*parts), deadline=time.monotonic(), folder=tmp_path)
    assert (taught.history, taught.plan) == ((), None)


def test_what_is_planned_is_told_once_and_first(toys) -> None:
    parts, told = (toys.ToyNetwork(), toys.ToyExamples(64, seed=1), toys.ToyExamples(45)), list[object]()
    taught = teach(lesson(*parts, epochs=2), told=told.append, planned=told.append)
    assert told == [taught.plan, *taught.history]
    assert taught.lr == 0.02
