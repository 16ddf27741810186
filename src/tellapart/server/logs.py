"""Logs: a JSON object a line on stderr. Pictures and their names are never in them."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def log(event: str, **facts: Any) -> None:
    """Write a line; facts that are None are left out."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"time": time, "event": event} | {name: value for name, value in facts.items() if value is not None}
    with suppress(OSError, ValueError):  # a server goes on when no one reads its logs
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()


class JsonHandler(logging.Handler):
    """Takes what the libraries log into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log("library", level=record.levelname.lower(), source=record.name, text=record.getMessage(), error=error and repr(error))


def take_over_logging() -> None:
    """Let the errors of all libraries come as JSON lines; what they warn of is a client's doing, and told to the client."""
    logging.basicConfig(handlers=[JsonHandler()], level=logging.ERROR, force=True)
