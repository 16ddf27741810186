"""`DataReport`: what was found in the pictures, as text, JSON and a page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tellapart.checks.findings import KINDS, Finding, Kind
from tellapart.data import ImageTable
from tellapart.files import printable
from tellapart.progress import Progress, silent
from tellapart.words import counted

N_SHOWN = 3  # findings of a kind that a terminal shows; the page and the JSON hold all


@dataclass(frozen=True, eq=False)
class DataReport:
    """The findings about a table of readable pictures, the gravest first; `notes` say what a reader must know beside them."""

    title: str
    table: ImageTable
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def account(self) -> str:
        """Where every file went: "412 files = 405 kept + 4 cannot be decoded + 3 not a picture"."""
        return self.table.account()

    @cached_property
    def counts(self) -> dict[str, int]:
        """Findings by kind, the gravest kind first; kinds without any are left out."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind.name: found[kind.name] for kind in KINDS if found[kind.name]}

    @cached_property
    def by_kind(self) -> tuple[tuple[Kind, tuple[Finding, ...]], ...]:
        """Each kind that was found, the gravest first, with its findings in order."""
        return tuple(
            (kind, tuple(finding for finding in self.findings if finding.kind == kind.name))
            for kind in KINDS
            if kind.name in self.counts
        )

    @property
    def summary(self) -> str:
        """One sentence: "214 findings of 7 kinds in 3,119 pictures of 5 classes"."""
        of_kinds = f" of {counted(len(self.counts), 'kind')}" if self.findings else ""
        pictures = f"{counted(len(self.table), 'picture')} of {counted(len(self.table.classes), 'class', 'classes')}"
        return f"{counted(len(self.findings), 'finding')}{of_kinds} in {pictures}"

    def to_json(self) -> dict[str, Any]:
        return {
            "n_images": len(self.table),
            "counts": self.counts,
            "findings": [
                {
                    "kind": one.kind,
                    "paths": list(one.paths),
                    "score": round(one.score, 4),
                    "text": one.text,
                    "suggestion": one.suggestion,
                }
                for one in self.findings
            ],
            "files": self.account,
            "classes": self.table.counts,
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """For a terminal: counts by kind, the first few of each, and what to do next."""
        lines = [f"{self.summary}.", f"{self.account}.", *self.notes]
        for kind, findings in self.by_kind:
            lines += ["", f"{kind.title}: {len(findings):,}. {kind.why}"]
            lines += [f"  {finding.text}" for finding in findings[:N_SHOWN]]
            if len(findings) > N_SHOWN:
                lines.append(f"  ... and {len(findings) - N_SHOWN:,} more")
            if len({finding.suggestion for finding in findings}) == 1:
                lines.append(f"  -> {findings[0].suggestion}")
        if proposed := [kind.name for kind, findings in self.by_kind if any(finding.proposals for finding in findings)]:
            names = ", ".join(proposed)
            lines += ["", f"`tellapart clean DATA --apply KINDS` takes what is proposed, after a look at it: {names}."]
        return "\n".join(printable(line) for line in lines)

    def write_html(
        self, path: str | Path, *, thumbnail_px: int = 112, max_thumbnails: int = 600, progress: Progress = silent
    ) -> None:
        """Write one page that needs nothing else to `path`; at most `max_thumbnails` pictures are embedded.

        Raises StorageError where it cannot be written.
        """
        from tellapart.checks.html import write_html  # jinja2 is needed for nothing else here

        write_html(self, path, thumbnail_px=thumbnail_px, max_thumbnails=max_thumbnails, progress=progress)
