"""How many threads a process takes: $TELLAPART_THREADS, else as many as it may use cores."""

from __future__ import annotations

import os

from tellapart.errors import CallError

THREADS_VARIABLE = "TELLAPART_THREADS"


def chosen_threads() -> int | None:
    """The number in $TELLAPART_THREADS, None where it is not set. Raises CallError for anything but a whole number from 1."""
    text = os.environ.get(THREADS_VARIABLE, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 4096):
        raise CallError(f"{THREADS_VARIABLE} is {text!r}; it must be a whole number from 1 to 4096")
    return int(text)


def n_threads() -> int:
    """How many threads are to be busy at once. Raises like `chosen_threads`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return chosen_threads() or cores
