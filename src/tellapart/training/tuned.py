"""What comes back from training the network itself, whichever way it was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tellapart.training.trainer import Fitted

if TYPE_CHECKING:  # it imports torch, which a bundle's reader need not have
    from tellapart.training.loop.logs import Epoch
    from tellapart.training.loop.planning import Plan


@dataclass(frozen=True)
class Tuned:
    """A classifier whose network was trained, or the one that it began from where training made none better."""

    fitted: Fitted
    history: tuple[Epoch, ...]
    notes: tuple[str, ...]  # what a person should know, a sentence each
    plan: Plan | None = None  # what it was told to take beforehand
