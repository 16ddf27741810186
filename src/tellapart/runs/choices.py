"""What a call of `train` says of the pictures."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable, edited, split, split_like
from tellapart.data.journals import NO_EDITS
from tellapart.errors import CallError, DataError
from tellapart.progress import Progress
from tellapart.runs.run import Run
from tellapart.sources import GUESSED, Columns, read
from tellapart.training import Recipe


@dataclass(frozen=True)
class Choices:
    """What a call of `train` says of the pictures, kept so that a run can be gone on with."""

    drop: tuple[str, ...] = ()
    columns: Columns = GUESSED
    edits: str | Path | None = None
    split_like: str | Path | None = None
    allow_leaks: bool = False

    def to_json(self) -> dict[str, Any]:
        def absolute(path: str | Path | None) -> str | None:
            return None if path is None else NO_EDITS if str(path) == NO_EDITS else os.path.abspath(path)

        return {
            "drop": list(self.drop),
            "columns": asdict(self.columns) | {"root": absolute(self.columns.root)},
            "edits": absolute(self.edits),
            "split_like": absolute(self.split_like),
            "allow_leaks": self.allow_leaks,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Choices:
        columns = Columns(**facts.get("columns", {}))  # runs of 0.1 have none of what follows
        return cls(tuple(facts["drop"]), columns, facts.get("edits"), facts.get("split_like"), facts.get("allow_leaks", False))

    def read(self, source: Any, progress: Progress) -> ImageTable:
        """The pictures after the edits, with absolute paths, so that the run can be judged from any folder."""
        table = source if isinstance(source, ImageTable) else read(source, columns=self.columns, progress=progress)
        table = edited(table, source, edits=self.edits).without_classes(self.drop)
        return replace(table, paths=tuple(map(os.path.abspath, table.paths)))

    def split(self, table: ImageTable, recipe: Recipe) -> ImageTable:
        """The table with its splits; raises DataError where nothing would be held back to judge on, and CallError for what a
        recipe says of classes where pictures have several labels.
        """
        _refuse_one_label_choices(table, recipe)
        earlier = None if self.split_like is None else Run.load(self.split_like).table
        draw = split if earlier is None else partial(split_like, earlier=earlier)
        whole = draw(
            table,
            valid_frac=recipe.valid_frac,
            test_frac=recipe.test_frac,
            seed=recipe.seed,
            allow_leaks=self.allow_leaks,
        )
        if "valid" not in whole.splits:
            raise DataError("no picture is held back to judge on. Give --valid a part above 0, or add a valid folder.")
        return whole


def _refuse_one_label_choices(table: ImageTable, recipe: Recipe) -> None:
    """Raise CallError for what a recipe says of classes where pictures may have several labels."""
    if not table.multi_label:
        return
    if recipe.balance:
        raise CallError(
            f"balance {recipe.balance:g} weighs each picture by its class, but these have several labels a picture; leave it "
            "out: each label gets a threshold of its own"
        )
    if recipe.sampling != "as_is":
        raise CallError(
            "sampling 'balanced' draws pictures by their class, but these have several labels a picture; leave it out"
        )
