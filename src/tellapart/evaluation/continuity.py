"""What became of the old classes when a class or pictures were added: the same held-back pictures, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tellapart.evaluation.answers import Answers, paired
from tellapart.evaluation.report import percent
from tellapart.evaluation.significance import Difference, holm, paired_difference
from tellapart.files import printable
from tellapart.words import counted

N_ROWS = 20  # classes in the text; the JSON has all


@dataclass(frozen=True)
class ClassChange:
    """How one class fared before and after, on the `n` of its pictures that both runs held back; both are shares of 0 to 1."""

    label: str
    before: float
    after: float
    difference: Difference

    @property
    def n(self) -> int:
        return self.difference.n


@dataclass(frozen=True)
class Continuity:
    """An earlier run and a later one on the pictures that both held back, with the same label.

    `classes` are those that both know and that have such pictures, the greatest loss first, their p-values raised for each
    other (Holm). `added` and `gone` are classes that only the later or only the earlier run judged on.
    """

    overall: Difference
    before: float | None
    after: float | None
    classes: tuple[ClassChange, ...]
    added: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def lost(self) -> tuple[ClassChange, ...]:
        """The classes that are answered worse than before by more than noise."""
        return tuple(one for one in self.classes if one.difference.value < 0 and not one.difference.is_noise)

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.overall.n,
            "accuracy_before": self.before,
            "accuracy_after": self.after,
            "difference": self.overall.value,
            "difference_interval": list(self.overall.interval),
            "p_value": self.overall.p_value,
            "is_noise": self.overall.is_noise,
            "classes": {
                one.label: {
                    "n": one.n,
                    "accuracy_before": one.before,
                    "accuracy_after": one.after,
                    "p_value": one.difference.p_value,
                    "is_noise": one.difference.is_noise,
                }
                for one in self.classes
            },
            "added": list(self.added),
            "gone": list(self.gone),
        }

    def text(self) -> str:
        """The comparison for a terminal: the sum of it, then the classes, the greatest loss first."""
        lines = [*self._changes_of_classes()]
        if not self.overall.n:
            return "\n".join(["before and after: no picture was held back by both runs, so nothing can be compared", *lines])
        verdict = "no more than noise" if self.overall.is_noise else "more than noise"
        of_old = f"{percent(self.before)} before, {percent(self.after)} after"
        head = f"before and after, on {counted(self.overall.n, 'picture')} that both runs held back: {of_old}"
        width = max(len(printable(one.label)) for one in self.classes)
        rows = [
            f"  {printable(one.label):{width}}  {percent(one.before):>7} -> {percent(one.after):>7}  n = {one.n}{_remark(one)}"
            for one in self.classes[:N_ROWS]
        ]
        more = len(self.classes) - N_ROWS
        rest = [f"  and {counted(more, 'more class', 'more classes')} that lost less"] if more > 0 else []
        return "\n".join([f"{head} ({verdict}, p = {self.overall.p_value:.2g})", *rows, *rest, *lines])

    def _changes_of_classes(self) -> Iterable[str]:
        for names, what in ((self.added, "new since"), (self.gone, "no longer there")):
            if names:
                yield f"{what}: {', '.join(map(printable, names))}"


def compare_classes(before: Answers, after: Answers) -> Continuity:
    """The old classes before and after, from the answers that two runs gave on what they held back.

    Only pictures that both judged, with the same label, count: neither run was trained on them, and neither had easier ones.
    """
    pairs = paired(before, after)
    of_class = {name: [pair for pair in pairs if pair[0] == name] for name in sorted({label for label, *_ in pairs})}
    changes = [_change(name, rows) for name, rows in of_class.items()]
    raised = holm([one.difference.p_value for one in changes])
    changes = [replace(one, difference=replace(one.difference, p_value=p)) for one, p in zip(changes, raised, strict=True)]
    whole = _change("", pairs) if pairs else None
    known, now = set(before.labels), set(after.labels)
    return Continuity(
        overall=whole.difference if whole else paired_difference(0, 0, 0),
        before=whole.before if whole else None,
        after=whole.after if whole else None,
        classes=tuple(sorted(changes, key=lambda one: (one.difference.value, one.label))),
        added=tuple(sorted(now - known)),
        gone=tuple(sorted(known - now)),
    )


def _change(label: str, pairs: Sequence[tuple[str, bool, bool]]) -> ClassChange:
    """Of at least one picture: (its label, whether it was right before, whether it is now)."""
    before, after = [was for _, was, _ in pairs], [now for _, _, now in pairs]
    n_gained, n_lost = (sum(one > other for one, other in zip(*both, strict=True)) for both in ((after, before), (before, after)))
    difference = paired_difference(n_gained, n_lost, len(pairs))
    return ClassChange(label, sum(before) / len(pairs), sum(after) / len(pairs), difference)


def _remark(change: ClassChange) -> str:
    if change.difference.is_noise:
        return ""
    return f"  {'worse' if change.difference.value < 0 else 'better'} by more than noise, p = {change.difference.p_value:.2g}"
