"""The progress bar of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tellapart.progress import Progress, silent


@contextmanager
def bars(*, wanted: bool = True) -> Iterator[Progress]:
    """A `Progress` that draws a bar for each piece of work on stderr; silent where that is no terminal, or it is not `wanted`."""
    if not (wanted and sys.stderr.isatty()):
        yield silent
        return
    from rich import progress as rich  # 50 ms that `--help` and scripts do not spend
    from rich.console import Console

    columns = (rich.TextColumn("{task.description:>10}"), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    # stdout stays what it is: rich would send it to stderr, past `> file`.
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as drawn:
        tasks: dict[str, rich.TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            name = what.partition(":")[0]
            if name not in tasks:
                tasks[name] = drawn.add_task(what, total=total or None)
            drawn.update(tasks[name], description=what, completed=done, total=total or None)
            if done == total:
                drawn.remove_task(tasks.pop(name))

        yield show
