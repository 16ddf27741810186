"""Templates that escape whatever they are given."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tellapart.pages.texts import filename, shown

SHARED = Path(__file__).parent / "templates"  # base.css and macros.html.j2


@cache
def page_environment(folder: Path) -> Environment:
    """For the templates of `folder` and the shared ones, with the filters `shown` and `filename`."""
    environment = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "filename": filename}
    return environment
