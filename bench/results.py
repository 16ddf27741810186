"""What was measured, and what it had to reach: as JSON lines and as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One thing measured n times."""

    measure: str
    name: str
    values: tuple[float, ...]
    unit: str
    command: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "figure", **asdict(self), "n": len(self.values), "median": self.median}


@dataclass(frozen=True)
class Goal:
    """A value beside what it must reach: "at least" or "at most" `limit`."""

    measure: str
    name: str
    value: float
    asked: str
    limit: float

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.asked == "at least" else self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        return {"kind": "goal", **asdict(self), "reached": self.reached}


Result = Figure | Goal


def markdown(machine: Mapping[str, str], results: Iterable[Result]) -> str:
    """The tables for docs/benchmarks.md."""
    results = list(results)
    figures = [result for result in results if isinstance(result, Figure)]
    goals = [result for result in results if isinstance(result, Goal)]
    parts = [
        _table(("machine", ""), machine.items()),
        _table(("measure", "what", "median", "range", "n", "command"), map(_figure_row, figures)),
        _table(("measure", "what", "value", "asked", "reached"), map(_goal_row, goals)),
    ]
    return "\n\n".join(parts) + "\n"


def _figure_row(figure: Figure) -> tuple[str, ...]:
    low, high = min(figure.values), max(figure.values)
    spread = f"{number(low)} to {number(high)}" if len(figure.values) > 1 else ""
    command = f"`{figure.command}`" if figure.command else ""
    return figure.measure, figure.name, f"{number(figure.median)} {figure.unit}", spread, str(len(figure.values)), command


def _goal_row(goal: Goal) -> tuple[str, ...]:
    return goal.measure, goal.name, number(goal.value), f"{goal.asked} {number(goal.limit)}", "yes" if goal.reached else "**no**"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """Four significant digits for small numbers, whole ones for large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
