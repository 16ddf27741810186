"""The commands: parse, call one function, print. A module a family; each registers on `app`, in the order of `--help`."""

from tellapart.cli.app import app

from tellapart.cli import drawing, collecting, checking, cleaning, training, tuning, comparing, using, explaining  # isort: skip
from tellapart.cli import exporting, serving  # isort: skip

__all__ = [
    "app", "checking", "cleaning", "collecting", "comparing", "drawing", "explaining", "exporting", "serving", "training",
    "tuning", "using",
]  # fmt: skip
