"""Several processes that train one network, as torchrun starts them: what they share and what they sum up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from tellapart import launch
from tellapart.errors import CallError, TellapartError

STEP_WAIT = timedelta(hours=2)  # for another process within a training, say while it writes a checkpoint; a guess
LONG_WAIT = timedelta(days=30)  # for the first process, which may have a million pictures to embed
SPOKEN_S = 20.0  # after a lost connection, until then torchrun has ended this process: the lost one says why
LOST = ("connection", "closed by peer", "socket", "timed out", "nccl", "gloo")  # what gloo and NCCL say of a lost process

_talk: Any = None  # the group that CPU tensors and words go through, beside NCCL's


@contextmanager
def joined_processes(device: torch.device) -> Iterator[None]:
    """Inside, this process is one of those that torchrun started; alone where it was not started so.

    Raises CallError where the machine has fewer GPUs than processes, TellapartError where another process is lost.
    """
    if launch.n_launched() < 2:
        yield
        return
    try:
        _join(device)
        yield
        _part()
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        time.sleep(SPOKEN_S)
        raise TellapartError("another process of this training was lost; what it or torchrun said tells why") from error
    except BaseException:
        if distributed.is_initialized() and device.type != "cuda":  # NCCL's would wait for what the others no longer do
            _part()
        raise


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


def put_together(rows: torch.Tensor) -> torch.Tensor:
    """The sum of what the processes have, on the CPU: whole rows, where each has some and zeros in the place of the others."""
    if n_processes() > 1:
        distributed.all_reduce(rows, group=_talk)
    return rows


def same_network(network: nn.Module) -> None:
    """Give the network of each process the tensors of the first one's."""
    if n_processes() > 1:
        for tensor in network.state_dict().values():
            whole = tensor.contiguous()
            distributed.broadcast(whole, src=0)
            tensor.copy_(whole)


def tell(words: dict[str, Any] | None) -> dict[str, Any]:
    """What the first process says, to each: its `words`, a JSON object. The others give None, and wait for it, be it for days."""
    text = np.frombuffer(json.dumps(words).encode(), np.uint8)
    if n_processes() > 1:
        length = torch.tensor([len(text)])
        distributed.broadcast(length, src=0, group=_talk)
        spoken = torch.from_numpy(text.copy()) if rank() == 0 else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(spoken, src=0, group=_talk)
        text = spoken.numpy()
    said: dict[str, Any] = json.loads(text.tobytes())
    return said


def wait_for_all() -> None:
    """Come back when every process has come here, be it in days."""
    if n_processes() > 1:
        distributed.barrier(group=_talk)


def refuse_disagreement(what: str, value: float, device: torch.device) -> None:
    """Raise CallError where the processes do not have the same value."""
    mean = summed([value], device)[0] / n_processes()
    if summed([abs(value - mean)], device)[0] > 1e-6:
        raise CallError(f"the processes do not have the same {what}. Let all of them see one folder of the run and the pictures.")


def _join(device: torch.device) -> None:
    global _talk
    if distributed.is_initialized():
        raise CallError("this process has joined others already (init_process_group). Leave that to Tellapart.")
    if device.type == "cuda":
        n_here, n_gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        if n_here > n_gpus:
            raise CallError(
                f"{n_here} processes for {n_gpus} GPU(s) of this machine. Start as many as it has (torchrun --nproc-per-node "
                f"{n_gpus}), or hide the GPUs: CUDA_VISIBLE_DEVICES="
            )
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=STEP_WAIT)
    _talk = distributed.new_group(backend="gloo", timeout=LONG_WAIT)


def _part() -> None:
    global _talk
    _talk = None  # a group that outlives this may abort the interpreter on its way out
    distributed.destroy_process_group()


def _is_loss(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in LOST)
