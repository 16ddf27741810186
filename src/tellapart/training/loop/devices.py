"""Where a network trains, in which precision, and what its device says when its memory is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from tellapart.training.recipe import Recipe

FULL = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA's and cuDNN's, the CPU allocator's, Windows'


def best_device() -> torch.device:
    """The GPU of this process (torchrun gives each its own), or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; elsewhere it is slower than float32."""
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # not in old versions
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


def uses_bfloat16(recipe: Recipe, device: torch.device) -> bool:
    """Whether to train in mixed precision.

    On a CPU only where the recipe says so: it pays for wide convolutions, not for depthwise ones.
    """
    wanted = recipe.precision != "float32" if device.type == "cuda" else recipe.precision == "bfloat16"
    return wanted and multiplies_bfloat16(device)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else cpu_has_bfloat16()


def precision_context(device: torch.device, *, bfloat16: bool) -> Any:
    """Autocast to bfloat16, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on the device; pictures (n, C, h, w) with their channels last, which convolutions prefer."""
    layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
    return tensor.to(device, non_blocking=True, memory_format=layout)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in FULL)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """What is drawn inside leaves the caller's random state as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_randomness(seed: int, device: torch.device) -> None:
    """What torch draws next (dropout) follows from `seed`; torch.manual_seed asks every kind of device and takes 0.4 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
