"""`Order`: what the first of several processes has the others help it with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable
from tellapart.images import Fit
from tellapart.training.augment.policies import Policy
from tellapart.training.loop.processes import n_processes, tell
from tellapart.training.recipe import Recipe


@dataclass(frozen=True)
class Order:
    """A network to train. All that is decided is decided by who gives the order; others need the pictures and the folder."""

    training: ImageTable
    held: ImageTable  # of classes to learn
    recipe: Recipe
    policy: Policy
    fit: Fit
    folder: Path | None
    has_deadline: bool  # the first process tells the time
    boundary: int | None = None  # of a tail; None: a whole network

    def give(self) -> None:
        """Tell the other processes, if there are any."""
        if n_processes() > 1:
            folder = None if self.folder is None else str(self.folder.absolute())
            tables = {"training": self.training.to_csv(), "held": self.held.to_csv()}
            parts = {"recipe": self.recipe.to_json(), "policy": asdict(self.policy), "fit": asdict(self.fit)}
            tell({**tables, **parts, "folder": folder, "has_deadline": self.has_deadline, "boundary": self.boundary})

    @classmethod
    def from_json(cls, words: dict[str, Any]) -> Order:
        return cls(
            training=ImageTable.from_csv(words["training"]),
            held=ImageTable.from_csv(words["held"]),
            recipe=Recipe.from_json(words["recipe"]),
            policy=Policy(**words["policy"]),
            fit=Fit(**words["fit"]),
            folder=None if words["folder"] is None else Path(words["folder"]),
            has_deadline=words["has_deadline"],
            boundary=words["boundary"],
        )
