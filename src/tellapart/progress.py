"""How long work tells its caller where it stands; the command line draws a bar from it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`; `total` is 0 while it is not known.

What follows a colon in `what` may change from call to call ("collecting: 3 timed out"): the piece of work stays the same.
"""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
