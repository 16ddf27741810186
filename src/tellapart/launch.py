"""What torchrun says to the processes that it starts, read without importing PyTorch. A process by itself is the first of one."""

from __future__ import annotations

import os

from tellapart.errors import CallError


def n_launched() -> int:
    """How many processes were started together."""
    return _number("WORLD_SIZE", 1)


def launch_rank() -> int:
    """The number of this process: 0 reads, writes and speaks, the others help it to train."""
    return _number("RANK", 0) if n_launched() > 1 else 0


def is_helper() -> bool:
    """Whether another process reads, writes and speaks for this one."""
    return launch_rank() > 0


def refuse_several(what: str) -> None:
    """Raise CallError where `what` would be done by each of several processes."""
    if n_launched() > 1:
        raise CallError(
            f"{n_launched()} processes were started together (WORLD_SIZE), but {what} is the work of "
            "one. Start it without torchrun."
        )


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise
