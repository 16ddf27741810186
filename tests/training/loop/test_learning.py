"""The loop as a whole, on a small network: it learns, stops, goes on, and says what went wrong."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tellapart.errors import CallError, DataError, TellapartError
from tellapart.training.loop.examples import Batch
from tellapart.training.loop.learner import Learner
from tellapart.training.loop.learning import learn
from tellapart.training.recipe import Recipe

RECIPE = Recipe(batch=16)


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def examples(toys):
    return toys.ToyExamples(200, seed=1)


@pytest.fixture
def held(toys):
    return toys.ToyExamples(45, drawn_from=1)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "weight_decay": 0.0005},
        {"optimizer": "rmsprop", "momentum": 0.0},
        {"schedule": "cosine", "loss": "focal"},
        {"schedule": "constant", "ema": 0.9},
        {"precision": "bfloat16", "accumulate": 2},
    ],
    ids=str,
)
def test_it_learns_and_keeps_the_best(toys, examples, held, change) -> None:
    network, recipe = toys.ToyNetwork(), replace(RECIPE, **change)
    lr = 0.2 if recipe.optimizer == "sgd" else 0.02
    epochs = list(learn(network, examples, held, recipe, lr=lr, epochs=5))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1].n_pictures == 5 * 200
    best = max(epochs, key=lambda epoch: (epoch.valid_accuracy, epoch.number))
    assert best.valid_accuracy > 0.9
    assert best == [epoch for epoch in epochs if epoch.is_best][-1]
    loss, accuracy = Learner(network, replace(recipe, ema=0.0)).judge(held, 16)
    assert accuracy == best.valid_accuracy
    assert loss == pytest.approx(best.valid_loss, abs=1e-6)


def test_the_rate_comes_down(toys, examples, held) -> None:
    epochs = list(learn(toys.ToyNetwork(), examples, held, RECIPE, lr=0.02, epochs=4))
    assert epochs[0].rate == pytest.approx(0.02, rel=0.01)
    assert epochs[-1].rate < 0.02 / 1000


def test_gradients_gathered_over_two_batches_are_those_of_one_twice_as_large(toys, examples, held) -> None:
    """Without batch-norm and dropout, which see a batch at a time."""
    found = []
    for batch, accumulate in ((32, 1), (16, 2)):
        network = toys.ToyNetwork(norms=False, dropout=0.0)
        still = toys.ToyExamples(200)  # in order, not varied
        list(learn(network, still, held, replace(RECIPE, batch=batch, accumulate=accumulate), lr=0.01, epochs=2))
        found.append(weights_of(network))
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, atol=1e-4, rtol=1e-3)


def test_it_stops_in_time_with_the_rate_down(toys, examples, held) -> None:
    began = time.monotonic()
    epochs = list(learn(toys.ToyNetwork(), examples, held, RECIPE, lr=0.02, epochs=10_000, deadline=began + 2))
    assert time.monotonic() - began < 2.5
    assert epochs[-1].seconds > 1
    assert epochs[-1].rate < 0.02 / 20
    assert epochs[-1].valid_accuracy > 0.9


def test_without_time_nothing_happens(toys, examples, held, tmp_path: Path) -> None:
    network = toys.ToyNetwork()
    before = weights_of(network)
    assert list(learn(network, examples, held, RECIPE, lr=0.02, epochs=3, deadline=time.monotonic() - 1, folder=tmp_path)) == []
    assert same(before, weights_of(network))
    assert len(list(learn(network, examples, held, RECIPE, lr=0.02, epochs=3, folder=tmp_path))) == 3


def test_a_rate_that_diverges_is_stopped_and_said(toys, examples, held) -> None:
    network, notes = toys.ToyNetwork(norms=False), []
    before = weights_of(network)
    recipe = replace(RECIPE, optimizer="sgd", weight_decay=0.0)
    assert list(learn(network, examples, held, recipe, lr=1e6, epochs=3, note=notes.append)) == []
    assert same(before, weights_of(network))
    assert len(notes) == 1
    assert notes[0].startswith("The training diverged in epoch 1 (loss ")
    assert "the network is as it was before. The rate 1e+06 is too high: choose a quarter of it, --lr 2.5e+05, or" in notes[0]


def test_what_was_best_survives_a_later_divergence(toys, held) -> None:
    class Spoiled(toys.ToyExamples):
        """From the third epoch on a picture is not a number."""

        def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
            for batch in super().batches(epoch, size, first=first, share=share):
                yield Batch(batch.inputs * (math.nan if epoch == 2 else 1.0), batch.targets)

    network, notes = toys.ToyNetwork(), []
    epochs = list(learn(network, Spoiled(200, seed=1), held, RECIPE, lr=0.02, epochs=5, note=notes.append))
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    best = max(epochs, key=lambda epoch: (epoch.valid_accuracy, epoch.number))
    assert Learner(network, RECIPE).judge(held, 16)[1] == best.valid_accuracy
    assert f"the network of epoch {best.number} is kept" in notes[0]


def test_it_stops_early_without_a_better_loss(toys, examples, held) -> None:
    recipe = replace(RECIPE, patience=2, schedule="constant")
    epochs = list(learn(toys.ToyNetwork(), examples, held, recipe, lr=0.02, epochs=60))
    losses = [epoch.valid_loss for epoch in epochs]
    assert len(epochs) < 60
    assert losses.index(min(losses)) == len(losses) - 3


def test_memory_that_is_full_halves_the_batch(toys, examples, held) -> None:
    class Greedy(toys.ToyNetwork):
        """Asks for more than any machine has where a batch is above four."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if self.training and len(inputs) > 4:
                torch.empty(len(inputs) * 10**14)
            return super().forward(inputs)

    notes: list[str] = []
    epochs = list(learn(Greedy(), examples, held, RECIPE, lr=0.02, epochs=2, note=notes.append))
    assert [epoch.batch for epoch in epochs] == [4, 4]
    assert epochs[-1].n_pictures == 400
    assert notes == [
        "Out of memory: from epoch 1 on the batch is 8, and 2 make a step.",
        "Out of memory: from epoch 1 on the batch is 4, and 4 make a step.",
    ]


def test_memory_that_suffices_for_nothing_is_an_error(toys, examples, held) -> None:
    class Hopeless(toys.ToyNetwork):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            torch.empty(10**15)
            return super().forward(inputs)

    with pytest.raises(TellapartError, match="out of memory with a batch of 2: choose a smaller size or network"):
        list(learn(Hopeless(), examples, held, RECIPE, lr=0.02, epochs=1))


def test_a_last_batch_of_one_is_left_out_with_batch_norm(toys, held) -> None:
    examples, notes = toys.ToyExamples(33, seed=1), []
    (epoch,) = learn(toys.ToyNetwork(), examples, held, RECIPE, lr=0.02, epochs=1, note=notes.append)
    assert epoch.n_pictures == 32
    assert notes == ["In each epoch 1 picture, another one each time, is left out: the last batch would be too small."]
    (epoch,) = learn(toys.ToyNetwork(norms=False), examples, held, RECIPE, lr=0.02, epochs=1)
    assert epoch.n_pictures == 33


def test_what_cannot_be_learned_is_said(toys, examples, held) -> None:
    def start(**change):
        arguments = {"network": toys.ToyNetwork(), "examples": examples, "held": held, "recipe": RECIPE, "lr": 0.1, "epochs": 1}
        return list(learn(**(arguments | change)))

    with pytest.raises(CallError, match=r"a batch of 1 is too small for a network with batch-norm. Choose --batch 2 or more"):
        start(recipe=replace(RECIPE, batch=1))
    with pytest.raises(DataError, match="1 pictures to learn from; at least 2 are needed"):
        start(examples=toys.ToyExamples(1, seed=1))
    with pytest.raises(DataError, match="no picture is held back"):
        start(held=toys.ToyExamples(0))


def test_pretrained_layers_thaw_from_the_head_down(toys, examples, held) -> None:
    network = toys.ToyNetwork(pretrained=True)
    recipe = replace(RECIPE, unfreeze="gradual", schedule="constant")
    before, moved, statistics = weights_of(network), [], []
    for _ in learn(network, examples, held, recipe, lr=0.02, epochs=3):
        after = weights_of(network)
        moved.append({name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])})
        statistics += [name for name in after if "running" in name and not torch.equal(before[name], after[name])]
    assert moved[:2] == [{"head"}, {"second", "head"}]
    assert moved[2] == {"first", "second", "head"}
    assert statistics == []  # of batch-norm


def test_a_body_rate_of_none_trains_the_head_alone(toys, examples, held) -> None:
    network = toys.ToyNetwork(pretrained=True)
    before = weights_of(network)
    list(learn(network, examples, held, replace(RECIPE, body_lr=0.0), lr=0.02, epochs=1))
    assert {name for name, tensor in weights_of(network).items() if not torch.equal(before[name], tensor)} == {
        "head.weight",
        "head.bias",
    }


def test_several_labels(toys) -> None:
    class Labels(toys.ToyExamples):
        """Two labels: whether the first channel is the brightest, and whether the last is not; the third is never true."""

        def batches(self, *arguments, **options) -> Iterator[Batch]:
            for batch in super().batches(*arguments, **options):
                labels = torch.stack([batch.targets == 0, batch.targets != 2, batch.targets > 5], dim=1)
                yield Batch(batch.inputs, labels.float())

    examples, held = Labels(200, seed=1), Labels(45, drawn_from=1)
    epochs = list(learn(toys.ToyNetwork(), examples, held, RECIPE, lr=0.03, epochs=5, several=True))
    assert epochs[-1].valid_accuracy > 0.9


def test_class_weights_and_weights_of_examples_mean_the_same(toys, held) -> None:
    class Weighted(toys.ToyExamples):
        def batches(self, *arguments, **options) -> Iterator[Batch]:
            for batch in super().batches(*arguments, **options):
                yield Batch(batch.inputs, batch.targets, class_weights[batch.targets])

    class_weights = torch.tensor([2.0, 0.5, 0.5])
    recipe = replace(RECIPE, label_smoothing=0.0)
    one, other = toys.ToyNetwork(), toys.ToyNetwork()
    list(learn(one, Weighted(64, seed=1), held, recipe, lr=0.01, epochs=1))
    list(learn(other, toys.ToyExamples(64, seed=1), held, recipe, lr=0.01, epochs=1, class_weights=class_weights))
    for name, tensor in weights_of(one).items():
        torch.testing.assert_close(weights_of(other)[name], tensor)


def test_the_callers_randomness_is_left_alone_and_leaves_it_alone(toys, examples, held) -> None:
    found = []
    for drawn in (0, 5):
        network = toys.ToyNetwork()
        torch.manual_seed(drawn)
        expected = torch.rand(1, generator=torch.Generator().manual_seed(drawn))
        for _ in learn(network, examples, held, RECIPE, lr=0.02, epochs=1):
            assert torch.equal(torch.rand(1), expected)
        found.append(weights_of(network))
    assert same(*found)


def test_progress_and_logs(toys, examples, held, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    def keep(*call) -> None:
        calls.append(call)

    epochs = list(
        learn(
            toys.ToyNetwork(),
            examples,
            held,
            RECIPE,
            lr=0.02,
            epochs=2,
            folder=tmp_path,
            progress=lambda *call: calls.append(call),
        )
    )
    assert calls[0] == ("training", 16, 400)
    assert calls[-1] == ("training", 400, 400)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == [epoch.__dict__ for epoch in epochs]
    header, first, _ = (tmp_path / "log.csv").read_text().splitlines()
    assert header == "number,train_loss,valid_loss,valid_accuracy,rate,seconds,n_pictures,is_best,batch"
    assert first.startswith("1,")


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_said(toys, examples, held, monkeypatch, tmp_path: Path) -> None:
    """Without a C++ compiler."""
    import torch._inductor.config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    epochs = learn(toys.ToyNetwork(dropout=0.2), examples, held, replace(RECIPE, compile=True), lr=0.02, epochs=1)
    with (
        torch._inductor.config.patch({"cpp.cxx": (str(tmp_path / "none"),)}),
        pytest.raises(TellapartError, match=r"torch.compile cannot compile the network .*Train without `compile`"),
    ):
        next(epochs)
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_compiled_network_learns_too(toys, examples, held) -> None:
    epochs = list(learn(toys.ToyNetwork(), examples, held, replace(RECIPE, compile=True), lr=0.02, epochs=2))
    assert epochs[-1].valid_accuracy > 0.6
