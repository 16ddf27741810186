"""The way through a lesson: what it will take, its rate, its epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tellapart.errors import TellapartError
from tellapart.files import read_json, write_json
from tellapart.memory import kept_for_reuse
from tellapart.progress import Progress, silent
from tellapart.training.loop.finder import RateSweep, find_lr
from tellapart.training.loop.learning import Note, learn
from tellapart.training.loop.lessons import Lesson
from tellapart.training.loop.logs import Epoch, ignored, telling
from tellapart.training.loop.planning import Plan, plan_training
from tellapart.training.loop.processes import of_first, rank, refuse_disagreement, same_network, wait_for_all

RATES_FILE = "rates.json"  # of the sweep: a `RateSweep`


@dataclass(frozen=True)
class Taught:
    """How a lesson went; its network holds what did best."""

    history: tuple[Epoch, ...]
    lr: float
    plan: Plan | None  # None where there was no time, or no memory, for a first batch


def teach(
    lesson: Lesson,
    *,
    deadline: float | None = None,
    folder: Path | None = None,
    told: Callable[[Epoch], None] = ignored,
    planned: Callable[[Plan], None] = ignored,
    note: Note | None = None,
    progress: Progress = silent,
) -> Taught:
    """Say what the lesson will take, find its rate where it has none, and learn; raises as `find_lr` and `learn` do.

    `deadline` is in time.monotonic(); `planned` is called once, before anything is learned, `told` after each epoch.
    Several processes make this call together; the first one's deadline counts, and so does its network as it is.
    """
    _agree(lesson)
    with kept_for_reuse():
        plan = _plan(lesson, deadline)
        if plan:
            planned(plan)
        lr = lesson.lr if lesson.lr is not None else _found_rate(lesson, folder, progress)
        epochs = lesson.epochs(has_deadline=deadline is not None)
        parts = lesson.network, lesson.examples, lesson.held, lesson.recipe
        more: dict[str, Any] = {"folder": folder, "progress": progress, "note": note, "several": lesson.several}
        passes = learn(*parts, lr=lr, epochs=epochs, deadline=deadline, **more)
        return Taught(telling(passes, told), lr, plan)


def sweep_rates(lesson: Lesson, *, progress: Progress = silent) -> RateSweep:
    """What `find_lr` finds for the lesson; nothing is learned."""
    return find_lr(lesson.network, lesson.examples, lesson.recipe, several=lesson.several, progress=progress)


def _agree(lesson: Lesson) -> None:
    """Wait until all processes have come here, and see to it that they teach the same network the same pictures."""
    wait_for_all()
    refuse_disagreement("pictures", lesson.examples.n + lesson.held.n / 2, lesson.device)
    same_network(lesson.network)


def _plan(lesson: Lesson, deadline: float | None) -> Plan | None:
    left_s = None if deadline is None else of_first(deadline - time.monotonic(), lesson.device)
    if left_s is not None and left_s <= 0:
        return None
    try:
        return plan_training(lesson, budget_s=left_s)
    except TellapartError:  # `learn` says what is wrong, or halves a batch that is too large for the memory
        return None


def _found_rate(lesson: Lesson, folder: Path | None, progress: Progress) -> float:
    """What a sweep of rates suggests; kept in the folder, since a training that is gone on with must have the same one."""
    kept = folder / RATES_FILE if folder else None
    found = float(read_json(kept)["valley"]) if kept and kept.is_file() else 0.0
    if found := of_first(found, lesson.device):
        return found
    sweep = sweep_rates(lesson, progress=progress)
    if kept and rank() == 0:
        write_json(kept, asdict(sweep))
    return sweep.suggestion
