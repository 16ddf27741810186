"""From the options of a command to a `Recipe`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.errors import BundleError, CallError

if TYPE_CHECKING:
    from tellapart.training import Recipe

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def recipe_of(file: Path | None, settings: Sequence[str], **options: Any) -> Recipe:
    """The recipe in a JSON file (run.json and manifest.json hold one; or its fields alone), changed by the options that are not
    None, and then by settings `field=value`.

    Raises CallError for what is no recipe, field or value, naming the nearest field.
    """
    from tellapart.training import Recipe

    values = {} if file is None else _fields_of(file)
    values |= {name: value for name, value in options.items() if value is not None}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign:
            raise CallError(f"--set {setting}: write a field of the recipe and its value, as in --set lr=0.01")
        values[name.strip().replace("-", "_")] = _value(value.strip())
    return Recipe.from_json(values)


def seconds_of(text: str | None) -> float | None:
    """A time such as 90, 90s, 5m or 1h in seconds. Raises CallError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if match is None:
        raise CallError(f"{text!r} is no time; give seconds, minutes or hours: 90s, 5m, 1h")
    return float(match[1]) * SECONDS[match[2]]


def _fields_of(file: Path) -> dict[str, Any]:
    from tellapart.files import read_json

    try:
        found = read_json(file)
    except BundleError as error:
        raise CallError(f"--recipe {file}: {error}") from error
    fields = found.get("recipe", found)
    if not isinstance(fields, dict):
        raise CallError(f"--recipe {file}: its 'recipe' is not an object of fields and values")
    return dict(fields)


def _value(text: str) -> Any:
    """A number, true, false or null as JSON has them, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
