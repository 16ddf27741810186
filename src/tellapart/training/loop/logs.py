"""What an epoch leaves behind: a line in log.jsonl and one in log.csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tellapart.files import write_atomically

LOG_JSONL, LOG_CSV = "log.jsonl", "log.csv"


@dataclass(frozen=True)
class Epoch:
    """How one pass over the training pictures went."""

    number: int  # from 1
    train_loss: float  # mean over the pass, as the weights changed
    valid_loss: float  # of the held-back pictures; without label smoothing
    valid_accuracy: float  # of the held-back pictures, 0 to 1; for several labels: the share of right yes and no
    rate: float  # of learning, of the head, at its end
    seconds: float  # since the training began, pauses between resumed parts left out
    n_pictures: int  # learned from so far, counted as often as seen
    is_best: bool  # so far: by accuracy on the held-back pictures, of equal ones the later
    batch: int  # pictures a step on the device; a move of the weights may take several


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch whose weights are kept: the last that was best so far; None where there is none."""
    return next((epoch for epoch in reversed(history) if epoch.is_best), None)


def telling(epochs: Iterable[Epoch], told: Callable[[Epoch], None]) -> tuple[Epoch, ...]:
    """All epochs, each told as it ends; what `told` raises ends the training."""
    history = []
    for epoch in epochs:
        told(epoch)
        history.append(epoch)
    return tuple(history)


def ignored(_: object) -> None:
    """Tell nobody of an epoch, of a plan, or of what a person should read."""


def write_logs(folder: Path, history: Sequence[Epoch]) -> None:
    """Write log.jsonl and log.csv with a line an epoch, whole at any moment; after a resume no epoch stands there twice.

    Raises StorageError.
    """
    rows = [asdict(epoch) for epoch in history]
    write_atomically(folder / LOG_JSONL, "".join(json.dumps(row) + "\n" for row in rows))
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / LOG_CSV, text.getvalue())
