"""Several processes that train one network, as torchrun starts them: what they share and what they sum up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn

from tellapart.errors import CallError


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Inside, this process is one of those that torchrun started; alone where it was not started so."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def n_processes() -> int:
    """How many train together; 1 where this one is alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 writes the files and speaks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share() -> dict[str, Any]:
    """What `Examples.batches` is given besides: nothing for a process alone."""
    return {"share": (rank(), n_processes())} if n_processes() > 1 else {}


def parallel(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, which with several processes takes the mean of their gradients in each backward pass."""
    if n_processes() == 1:
        return network
    return nn.parallel.DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Each value summed over the processes, in float64."""
    if n_processes() == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return [float(value) for value in total.tolist()]


def of_first(value: float, device: torch.device) -> float:
    """The first process's value."""
    return summed([value if rank() == 0 else 0.0], device)[0]


def refuse_disagreement(what: str, value: float, device: torch.device) -> None:
    """Raise CallError where the processes do not have the same value."""
    mean = summed([value], device)[0] / n_processes()
    if summed([abs(value - mean)], device)[0] > 1e-6:
        raise CallError(f"the processes do not have the same {what}. Let all of them see one folder of the run.")
