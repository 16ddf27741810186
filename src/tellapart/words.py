"""Words that sentences share."""

from __future__ import annotations


def counted(n: int, what: str, several: str = "") -> str:
    """ "1 picture", "1,200 pictures"; `several` is the plural where it is not made by an s."""
    return f"{n:,} {what if n == 1 else several or what + 's'}"
