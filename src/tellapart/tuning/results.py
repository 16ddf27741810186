"""What a tuning found, and how far it can be believed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tellapart.comparing import NOTE_LOCKED, Comparison, Entry, compare
from tellapart.evaluation.report import percent, percent_range
from tellapart.files import printable, write_json
from tellapart.training import Recipe
from tellapart.tuning.plans import Plan
from tellapart.tuning.studies import FAILED, FINISHED, PRUNED, Trial
from tellapart.words import counted

BEST_FILE = "best.json"
EXHAUSTED = "combinations were tried"
SHOWN = 10  # of the trials, the best
SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Tuning:
    """A study so far: its trials, and the runs of those that finished, the best first.

    `importances` sum to 1 and are empty where too few trials finished; `ended` says why no other trial was begun, "" where
    there were as many as were asked for; `seconds` are those of the call.
    """

    folder: Path
    plan: Plan
    trials: tuple[Trial, ...]
    comparison: Comparison
    importances: dict[str, float]
    ended: str
    seconds: float

    @classmethod
    def of(
        cls, folder: Path, plan: Plan, trials: tuple[Trial, ...], importances: dict[str, float], ended: str, *, seconds: float
    ) -> Tuning:
        """With the runs compared, each with the best; one trial at least has finished."""
        runs = [folder / one.name for one in trials if one.state == FINISHED]
        return cls(folder, plan, trials, compare(runs, seed=plan.recipe.seed), importances, ended, seconds)

    @property
    def best(self) -> Entry:
        """The run that had most pictures right; of several the earliest."""
        return self.comparison.entries[0]

    @property
    def recipe(self) -> Recipe:
        """The best run's recipe."""
        return self.best.run.recipe

    @property
    def recipe_file(self) -> Path:
        """Where that is kept, for `tellapart train --recipe`."""
        return self.folder / BEST_FILE

    def count(self, state: str) -> int:
        """How many trials ended so: "finished", "pruned" or "failed"."""
        return sum(one.state == state for one in self.trials)

    def account(self) -> str:
        """ "20 trials = 14 finished + 5 pruned + 1 failed" """
        parts = " + ".join(f"{self.count(state):,} {state}" for state in (FINISHED, PRUNED, FAILED))
        return f"{counted(len(self.trials), 'trial')} = {parts}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        best = self.best
        notes = [
            f"The best of {counted(len(self.trials), 'trial')} was chosen on these very "
            f"{counted(len(best.answers), 'validation picture')}, so its accuracy flatters it, the more the more were tried."
        ]
        if "test" in best.run.table.splits:
            notes[0] += f" {NOTE_LOCKED} {shlex.quote(str(best.run.path))}"
        else:
            notes[0] += " A test part, locked away from the start, would tell how good it is: --test 0.2"
        notes += [self._against_first(), *self.comparison.notes[1:]]
        failures = [one for one in self.trials if one.state == FAILED]
        notes += [f"{one.name} failed: {one.reason}{self._taken_up(one)}" for one in failures[:SHOWN_FAILURES]]
        if len(failures) > SHOWN_FAILURES:
            notes.append(f"{len(failures) - SHOWN_FAILURES:,} more failed; --json names them all.")
        if self.ended:
            notes.append(f"No further trial was begun: {self.ended}.")
        return tuple(filter(None, notes))

    def _taken_up(self, failed: Trial) -> str:
        again = [one.name for one in self.trials if one.number > failed.number and one.choices == failed.choices]
        return f"; {again[0]} is the same recipe again" if again else ""

    def _against_first(self) -> str:
        """How the best does against the recipe that the search began with."""
        name = self.trials[0].name
        first = next((entry for entry in self.comparison.entries if entry.run.path.name == name), None)
        if first is None:
            return f"The recipe that the search began with ({name}) did not finish, so that nothing is said against it."
        if first.to_best is None:
            return f"None did better than {name}, the recipe that the search began with." if len(self.trials) > 1 else ""
        kind = "could be noise" if first.to_best.is_noise else "is more than noise, were it not for the choice among many"
        points = -100 * first.to_best.value
        return f"Against {name}, the recipe that the search began with, the best has {points:+.1f} points, which {kind}."

    def to_json(self) -> dict[str, Any]:
        """What `tellapart tune --json` prints."""
        best = self.best
        return {
            "study": str(self.folder),
            "n_trials": len(self.trials),
            **{f"n_{state}": self.count(state) for state in (FINISHED, PRUNED, FAILED)},
            "best": best.to_json() | {"trial": _trial_of(best, self.trials).number, "recipe": self.recipe.to_json()},
            "recipe_file": str(self.recipe_file),
            "runs": self.comparison.to_json()["runs"],
            "trials": [one.to_json() for one in self.trials],
            "importances": self.importances or None,
            "space": self.plan.space.to_json(),
            "fixed": {name: getattr(self.plan.recipe, name) for name in self.plan.fixed},
            "ended": self.ended or None,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table of the best for a terminal, what mattered, and what to do with it."""
        shown = self.comparison.entries[:SHOWN]
        head = ("trial", "right", "95 % interval", "seconds", "against the best", "tried")
        rows = [head, *(_cells(entry, _trial_of(entry, self.trials)) for entry in shown)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        left = len(self.comparison.entries) - len(shown)
        if left:
            lines.append(f"and {left:,} more: tellapart runs {shlex.quote(str(self.folder))}")
        return "\n".join(
            [
                f"{self.account()}, in {self.seconds:,.1f} s; judged on {counted(len(self.best.answers), 'validation picture')}",
                *lines,
                *self._importance_lines(),
                *(f"note: {printable(note)}" for note in self.notes),
                *self._command_lines(),
            ]
        )

    def _command_lines(self) -> list[str]:
        source, folder = shlex.quote(self.plan.source or "DATA"), shlex.quote(str(self.folder))
        more = f"more:  tellapart tune --resume {folder} --trials {2 * len(self.trials)}"
        return [
            f"best:  {printable(str(self.best.run.path))}",
            f"train: tellapart train {printable(source)} --recipe {printable(shlex.quote(str(self.recipe_file)))}",
            *([] if self.ended.endswith(EXHAUSTED) else [printable(more)]),
        ]

    def _importance_lines(self) -> list[str]:
        if not self.importances:
            return []
        shares = ", ".join(f"{name} {percent(share)}" for name, share in self.importances.items())
        return [f"what mattered, roughly: {shares}"]


def write_best(folder: Path, trials: Sequence[Trial], plan: Plan) -> None:
    """Keep the best recipe so far beside the runs, in the form that `tellapart train --recipe` reads. Raises StorageError."""
    finished = [one for one in trials if one.state == FINISHED]
    if finished:
        best = max(finished, key=lambda one: (one.accuracy or 0.0, -one.number))
        recipe = replace(plan.recipe, **best.choices)
        facts = {"run": best.name, "accuracy": best.accuracy, "n_trials": len(trials), "recipe": recipe.to_json()}
        write_json(folder / BEST_FILE, facts)


def _trial_of(entry: Entry, trials: Sequence[Trial]) -> Trial:
    return next(one for one in trials if one.name == entry.run.path.name)


def _cells(entry: Entry, trial: Trial) -> tuple[str, ...]:
    answers, seconds = entry.answers, entry.run.facts["seconds"].get("total")
    return (
        trial.name,
        percent(answers.accuracy),
        percent_range(answers.interval) if answers.interval else "–",
        "–" if seconds is None else f"{seconds:,.1f}",
        entry.to_best.verdict if entry.to_best else "is the best",
        ", ".join(f"{name} {'open' if value is None else value}" for name, value in trial.choices.items()),
    )
