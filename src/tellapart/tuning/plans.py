"""What a study was begun with, so that it is gone on with as it was begun."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tellapart.data import ImageTable
from tellapart.errors import BundleError, CallError
from tellapart.files import read_json, refuse_used, write_json
from tellapart.runs.choices import Choices
from tellapart.training import Recipe
from tellapart.tuning.spaces import Space

PLAN_FILE = "study.json"
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What is searched, on which pictures, and for how long unless it is said anew."""

    source: str | None  # None: a table in memory
    recipe: Recipe
    fixed: tuple[str, ...]  # fields of the recipe that were given
    choices: Choices
    space: Space
    pictures: str  # their digest
    n_trials: int | None
    budget_s: float | None

    def write(self, folder: Path) -> None:
        """Keep it in a folder. Raises StorageError."""
        facts = {
            "format": FORMAT,
            "source": self.source,
            "recipe": self.recipe.to_json(),
            "fixed": list(self.fixed),
            "choices": self.choices.to_json(),
            "space": self.space.to_json(),
            "pictures": self.pictures,
            "n_trials": self.n_trials,
            "budget_s": self.budget_s,
        }
        write_json(folder / PLAN_FILE, facts)

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """The plan in a folder; raises CallError where there is none, BundleError where it is damaged or of a newer format."""
        path = folder / PLAN_FILE
        if not path.is_file():
            raise CallError(f"{folder} holds no study: there is no {PLAN_FILE} in it. Begin one: tellapart tune DATA")
        facts = read_json(path)
        if isinstance(found := facts.get("format"), int) and found > FORMAT:
            raise BundleError(f"{path} is of format {found}; this Tellapart reads up to {FORMAT}: pip install -U tellapart")
        try:
            return cls(
                facts["source"],
                Recipe.from_json(facts["recipe"]),
                tuple(facts["fixed"]),
                Choices.from_json(facts["choices"]),
                Space.from_json(facts["space"]),
                facts["pictures"],
                facts["n_trials"],
                facts["budget_s"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, CallError) as error:
            raise BundleError(f"{path} is damaged ({error!r}). Begin another study: tellapart tune DATA") from error

    def refuse_other(
        self, folder: Path, *, source: Any = None, recipe: Recipe | None = None, fixed: Sequence[str] = (), choices: Choices
    ) -> None:
        """Raise CallError where a call that goes on with the study says something else than what it was begun with."""
        if source is not None and self.source is not None and self.source != source_of(source):
            raise CallError(f"{folder} is a study of {self.source}, not of {source}. Begin another: --out")
        for name in fixed:
            was, wanted = getattr(self.recipe, name), getattr(recipe, name)
            if name not in self.fixed:
                raise CallError(f"{folder} was begun without {name}={wanted}. Begin another study: --out")
            if was != wanted:
                raise CallError(f"{folder} was begun with {name}={was}, not {wanted}. Begin another study: --out")
        if choices not in (Choices(), self.choices) and choices.to_json() != self.choices.to_json():
            raise CallError(f"{folder} was begun with other pictures dropped, edited or split. Begin another study: --out")


def source_of(source: Any) -> str | None:
    """Where the pictures are, to be kept; None for what is in memory alone."""
    return os.path.abspath(source) if isinstance(source, str | Path) else None


def digest_of(table: ImageTable) -> str:
    """A name for pictures with their labels and given splits: trials on others cannot be compared."""
    rows = sorted("\t".join(row) for row in zip(table.sha256, table.labels, table.splits, table.groups, strict=True))
    return hashlib.sha256("\n".join(rows).encode(errors="surrogateescape")).hexdigest()


def refuse_used_study(out: Path) -> None:
    """Raise CallError rather than begin in a folder that holds something; a study in it is told from other things."""
    if (out / PLAN_FILE).is_file():
        raise CallError(f"{out} already holds a study. Go on with it: tellapart tune --resume {out}")
    refuse_used(out)
