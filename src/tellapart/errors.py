"""The errors that Tellapart raises on purpose. Each says what happened, what was found and what to do.

TellapartError            the work failed (exit code 1)
├── CallError             the call was wrong: an unknown name, a path that is not there (exit code 2)
├── DataError             the pictures cannot be used as asked: empty, one class, a class of one
├── PictureError          one picture cannot be read; a finding for its caller, never the end of a batch
├── LinkError                a link cannot be collected; an outcome for its caller, never the end of a run
├── BundleError           a model or run has parts missing, is unfinished, damaged or of a newer format
├── StorageError          something could not be written: disk full, no permission
└── MissingExtraError     an optional part is not installed; names the command that installs it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NAMES_SHOWN = 20


class TellapartError(Exception):
    """The work failed. `str(error)` is meant for the user's eyes as it is."""

    exit_code = 1


class CallError(TellapartError):
    """The call was wrong: nothing was done."""

    exit_code = 2


class DataError(TellapartError):
    """The pictures cannot be used as asked."""


class PictureError(TellapartError):
    """One picture cannot be read. `kind` is one word for counting: "truncated", "not_a_picture", ..."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class LinkError(TellapartError):
    """A link cannot be collected. `kind` is one word for counting: "refused", "timeout", "http_404", ..."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class BundleError(TellapartError):
    """A model or run has parts missing, is unfinished, damaged or of a newer format."""


class StorageError(TellapartError):
    """Something could not be written."""


class MissingExtraError(TellapartError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs: pip install 'tellapart[{extra}]'")


def unknown_name(what: str, name: str, known: Iterable[str]) -> CallError:
    """The error for a name that is not among `known`; suggests the nearest one."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names[:NAMES_SHOWN])}{more}"
    return CallError(f"unknown {what} {name!r}; {hint}")
