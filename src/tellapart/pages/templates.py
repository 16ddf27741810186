"""Templates that escape whatever they are given."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.pages.texts import filename, shown
from tellapart.words import counted

if TYPE_CHECKING:
    from jinja2 import Environment

SHARED = Path(__file__).parent / "templates"  # base.css and macros.html.j2


@cache
def page_environment(folder: Path) -> Environment:
    """For the templates of `folder` and the shared ones, with the filters `shown`, `filename` and `counted`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the server shows no templates

    environment = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "filename": filename, "counted": counted}
    return environment
