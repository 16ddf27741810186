"""A small network and drawn examples for the tests of the loop. `python toys.py train FOLDER WEIGHTS field=value` trains it."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from tellapart.training.loop.devices import best_device
from tellapart.training.loop.examples import Batch, Network
from tellapart.training.loop.learning import learn
from tellapart.training.loop.processes import joined_processes, rank
from tellapart.training.recipe import Recipe

N_CLASSES = 3


class ToyNetwork(Network):
    """Three groups of layers, batch-norm and dropout, on pictures of 8 px."""

    def __init__(self, *, pretrained: bool = False, norms: bool = True, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.pretrained = pretrained
        norm, bias = nn.BatchNorm2d if norms else nn.Identity, not norms  # before a norm AdamW makes a walk of a bias's rounding
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=bias), norm(8), nn.ReLU())
        second = nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=bias)
        self.second = nn.Sequential(second, norm(8), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(8, N_CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.second(self.first(inputs.float() / 255))
        return self.head(maps.mean(dim=(2, 3))).float()

    def layer_groups(self) -> list[list[nn.Module]]:
        return [[self.first], [self.second], [self.head]]


class ToyExamples:
    """Noisy pictures, of which the class is the brightest channel; shuffled and varied if `seed` is given."""

    def __init__(self, n: int, *, seed: int | None = None, drawn_from: int = 0) -> None:
        draw = torch.Generator().manual_seed(drawn_from)
        self.n = n
        self.labels = torch.randint(N_CLASSES, (n,), generator=draw)
        self.pictures = torch.randint(0, 200, (n, 3, 8, 8), generator=draw, dtype=torch.uint8)
        self.pictures[torch.arange(n), self.labels] += 30
        self.seed = seed

    def batches(self, epoch: int, size: int, *, first: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        order = torch.arange(self.n)
        if self.seed is not None:
            order = torch.randperm(self.n, generator=torch.Generator().manual_seed(1000 * self.seed + epoch))
        for number in range(first, -(-self.n // size)):
            rows = order[number * size : (number + 1) * size]
            draw = torch.Generator().manual_seed(100_000 * epoch + number)
            shift = int(torch.randint(-1, 2, (1,), generator=draw)) if self.seed is not None else 0
            pictures = torch.roll(self.pictures[rows], shift, dims=3)
            yield Batch(pictures[share[0] :: share[1]], self.labels[rows][share[0] :: share[1]])


def train(folder: str, weights: str, *fields: str) -> None:
    """Train in `folder` and write the network's weights to `weights`, its history beside it."""
    values = {name: json.loads(value) for name, _, value in (field.partition("=") for field in fields)}
    n, epochs, save_s = values.pop("n", 200), values.pop("epochs", 4), values.pop("save_s", 0.0)
    torch.set_num_threads(1)
    with joined_processes(best_device()):
        network = ToyNetwork(norms=values.pop("live_norms", True), dropout=values.pop("drop", 0.1))
        examples, held = ToyExamples(n, seed=1), ToyExamples(45, drawn_from=1)
        recipe = Recipe(**{"batch": 16, **values})
        rows = list(learn(network, examples, held, recipe, lr=0.02, epochs=epochs, folder=Path(folder), save_s=save_s))
        if rank() == 0:
            save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
            Path(weights).with_suffix(".json").write_text(json.dumps([row.__dict__ for row in rows]))


def in_a_child(*words: str) -> int:
    """The id of a process that trains so and ends with 0; a fork, since importing torch takes longer than the training."""
    if (pid := os.fork()) == 0:
        try:
            train(*words)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def kill(folder: str, n_kills: str, longest_s: str, *fields: str) -> None:
    """Kill trainings at random moments until so many kills are done; each goes on to its end. Prints what came of it."""
    torch.set_num_threads(1)
    torch.optim.AdamW(nn.Linear(1, 1).parameters()).zero_grad()  # imports what it needs before the forks
    whole = Path(folder) / "whole"
    os.waitpid(in_a_child(str(whole), f"{whole}.safetensors", *fields), 0)
    chance, n_done, n_runs, n_different, n_failed = random.Random(0), 0, 0, 0, 0
    while n_done < int(n_kills):
        run = Path(folder) / f"run-{n_runs}"
        while True:
            pid = in_a_child(str(run), f"{run}.safetensors", *fields)
            time.sleep(chance.uniform(0, float(longest_s)))
            if n_done < int(n_kills):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFEXITED(status):
                n_failed += os.waitstatus_to_exitcode(status) != 0
                break
            n_done += 1
        n_runs += 1
        n_different += Path(f"{run}.safetensors").read_bytes() != Path(f"{whole}.safetensors").read_bytes()
    print(json.dumps({"kills": n_done, "runs": n_runs, "different": n_different, "failed": n_failed}))


if __name__ == "__main__":
    {"train": train, "kill": kill}[sys.argv[1]](*sys.argv[2:])
