"""Going on after a kill: to the same weights, bit by bit; and checkpoints from which nothing goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tellapart.errors import BundleError, CallError
from tellapart.training.loop.checkpoints import CHECKPOINT
from tellapart.training.loop.learning import Epoch, learn
from tellapart.training.recipe import Recipe

RECIPE = Recipe(batch=16)
TOYS = Path(__file__).with_name("toys.py")


@pytest.fixture
def start(toys, tmp_path: Path):
    """Starts the same small training in the same folder."""

    def call(**change):
        choices = {"network": toys.ToyNetwork(), "recipe": RECIPE, "lr": 0.02, "epochs": 4, "folder": tmp_path / "run", **change}
        return learn(
            choices.pop("network"), toys.ToyExamples(100, seed=1), toys.ToyExamples(45), choices.pop("recipe"), **choices
        )

    return call


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(other.state_dict()[name], tensor) for name, tensor in one.state_dict().items())


def without_time(epochs: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0) for epoch in epochs]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"optimizer": "sgd", "ema": 0.9},
        {"optimizer": "rmsprop", "schedule": "cosine"},
        {"accumulate": 3, "ema": 0.5},
        {"unfreeze": "gradual", "precision": "bfloat16"},
    ],
    ids=str,
)
def test_a_training_in_parts_is_that_of_one_piece(toys, start, tmp_path: Path, change) -> None:
    recipe = replace(RECIPE, **change)
    networks = [toys.ToyNetwork(pretrained="unfreeze" in change, seed=seed) for seed in (0, 0, 1, 2)]
    expected = list(start(network=networks[0], recipe=recipe, folder=None))
    for i, network in enumerate(networks[1:3], start=1):
        epochs = start(network=network, recipe=recipe)
        assert without_time([next(epochs) for _ in range(i)]) == without_time(expected[:i])
        epochs.close()
    assert without_time(list(start(network=networks[3], recipe=recipe))) == without_time(expected)
    assert same(networks[0], networks[3])
    assert without_time(list(start(network=networks[2], recipe=recipe))) == without_time(expected)  # what is over comes again
    assert same(networks[0], networks[2])


@pytest.mark.parametrize("stop", [1, 7, 20])
def test_a_training_goes_on_from_within_an_epoch(toys, start, stop: int) -> None:
    """After so many moves, of 28, it is broken off where it cannot know; every move is kept."""
    whole, network = toys.ToyNetwork(), toys.ToyNetwork(seed=1)
    expected = list(start(network=whole, folder=None))

    def break_off(what: str, done: int, total: int) -> None:
        if calls.append(done) or len(calls) > stop:
            raise KeyboardInterrupt

    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        list(start(progress=break_off, save_s=0.0))
    assert without_time(list(start(network=network))) == without_time(expected)
    assert same(whole, network)


@pytest.mark.slow
def test_killed_trainings_go_on_to_the_same_weights(tmp_path: Path) -> None:
    words = ["kill", str(tmp_path), "6", "0.3", "ema=0.9", "accumulate=2"]
    done = subprocess.run([sys.executable, TOYS, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 6
    assert (found["different"], found["failed"]) == (0, 0)


def test_a_training_that_is_over_keeps_its_best_weights_alone(start, tmp_path: Path) -> None:
    list(start())
    with safe_open(tmp_path / "run" / CHECKPOINT, "pt") as file:
        assert {name.partition(".")[0] for name in file.offset_keys()} == {"best"}


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_said(start, tmp_path: Path, part: float) -> None:
    next(start())
    path = tmp_path / "run" / CHECKPOINT
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(BundleError, match=r"checkpoint.safetensors is damaged or cut short .*Delete it to begin again."):
        list(start())


def test_a_checkpoint_of_another_training_is_said(start) -> None:
    next(start())
    with pytest.raises(CallError, match=r"is of another training: batch was 16, is 32. Go on with what it was begun with"):
        list(start(recipe=replace(RECIPE, batch=32)))
    with pytest.raises(CallError, match=r"epochs was 4, is 9; lr was 0.02, is 0.1."):
        list(start(lr=0.1, epochs=9))
    assert len(list(start(recipe=replace(RECIPE, budget_s=100.0)))) == 4  # more time is no other training


def test_a_checkpoint_of_another_network_is_said(toys, start) -> None:
    next(start())
    with pytest.raises(CallError, match="network was"):
        list(start(network=toys.ToyNetwork(norms=False)))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "is not a tellapart training checkpoint"),
        ("nonsense", "is damaged or cut short"),
        ('{"format": "another"}', "is not a tellapart training checkpoint"),
        ('{"format": "tellapart training checkpoint", "version": 9}', "has format 9, known is 1"),
        ('{"format": "tellapart training checkpoint", "version": 1}', "is damaged"),
    ],
)
def test_a_file_of_another_format_is_said(start, tmp_path: Path, header: str | None, message: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, folder / CHECKPOINT, metadata={"tellapart": header} if header else None)
    with pytest.raises(BundleError, match=message):
        list(start())


def test_a_checkpoint_with_tensors_missing_is_said(start, tmp_path: Path) -> None:
    next(start())
    path = tmp_path / "run" / CHECKPOINT
    with safe_open(path, "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.offset_keys() if name != "network.head.bias"}
        header = file.metadata()
    save_file(kept, path, metadata=header)
    with pytest.raises(BundleError, match=r"is damaged .*head.bias"):
        list(start())
