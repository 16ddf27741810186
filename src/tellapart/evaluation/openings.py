"""The log of a locked test part: whoever looks at it often, and chooses after each look, no longer has an unseen test."""

from __future__ import annotations

import json
from pathlib import Path

from tellapart.data.journals import user_name, utc_now
from tellapart.files import growing_file

OPENINGS_FILE = "test-openings.jsonl"


def count_openings(run: Path) -> int:
    """How often the test part of a run was judged; a line that was cut short counts too."""
    path = run / OPENINGS_FILE
    return sum(bool(line.strip()) for line in path.read_bytes().split(b"\n")) if path.is_file() else 0


def openings_note(n_before: int) -> str:
    """What the report on a test part says of the times that it was judged before."""
    if not n_before:
        return "The test pictures were opened for the first time."
    times = "once" if n_before == 1 else f"{n_before} times"
    return f"The test pictures were opened {times} before: if anything was chosen by that, the accuracy is too good."


def log_opening(run: Path, *, n: int, accuracy: float | None) -> None:
    """Add a line to the log: when, who, on how many pictures, and the accuracy. Raises StorageError."""
    line = json.dumps({"when": utc_now(), "who": user_name(), "n": n, "accuracy": accuracy})
    with growing_file(run / OPENINGS_FILE) as file:
        is_cut = file.content and not file.content.endswith(b"\n")
        file.append(f"{chr(10) if is_cut else ''}{line}\n".encode())
