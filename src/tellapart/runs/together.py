"""One run by several processes: the first does all but the training of the network, in which the others help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tellapart import launch
from tellapart.runs.networks import refuse_missing_torch
from tellapart.runs.run import Run


def together(work: Callable[[], Run]) -> Run:
    """What `work` returns. Of several processes the first one works, the others help until it is done and load its run.

    Raises as `work` does, and TellapartError where another process is lost.
    """
    if launch.n_launched() < 2:
        return work()
    refuse_missing_torch("training with several processes")
    from tellapart.training.loop.devices import best_device
    from tellapart.training.loop.processes import joined_processes, tell

    with joined_processes(best_device()):
        if launch.is_helper():
            run = Run.load(_help())
        else:
            run = work()
            tell({"done": str(run.path.absolute())})
    return run


def _help() -> Path:
    """Do what the first process orders; the folder of its run when that is done."""
    from tellapart.training.loop.processes import tell
    from tellapart.training.orders import Order
    from tellapart.training.scratch import help_training
    from tellapart.training.tails.tuning import help_tuning

    while "done" not in (words := tell(None)):
        order = Order.from_json(words)
        (help_training if order.boundary is None else help_tuning)(order)
    return Path(words["done"])
