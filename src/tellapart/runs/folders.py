"""The folder that a training makes: its name, and what may not be written over."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from tellapart.errors import CallError, StorageError
from tellapart.files import read_json, refuse_used
from tellapart.inference.classifiers import RUN_FILE


def refuse_used_run(out: Path) -> None:
    """Raise CallError rather than write into a folder that holds something; a run in it is told from other things."""
    if os.path.isfile(out / RUN_FILE):
        state = read_json(out / RUN_FILE).get("state")
        remedy = "Choose another --out." if state == "finished" else f"Go on with it: tellapart train --resume {out}"
        raise CallError(f"{out} already holds a run ({state}). {remedy}")
    refuse_used(out)


def next_folder(source: Any) -> Path:
    """runs/<name>-<number>, the first that is free, made."""
    name = Path(source).resolve().stem if isinstance(source, str | Path) else "pictures"
    return next(folder for number in count(1) if _claim(folder := Path("runs") / f"{name}-{number}"))


def forget(folder: Path) -> None:
    """Take away a run that no resuming could finish, unless it holds more than its first note."""
    with suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [RUN_FILE]:
            (folder / RUN_FILE).unlink()
            folder.rmdir()


def _claim(folder: Path) -> bool:
    """Make the folder; False where it is there already, perhaps since another training made it just now."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}. Choose another place: --out") from error
    return True
