"""The commands: parse, call one function, print. A module a family; each registers on `app`, in the order of `--help`."""

from tellapart.cli.app import app

from tellapart.cli import drawing, collecting, checking, cleaning, training, tuning, comparing, using, serving  # isort: skip

__all__ = ["app", "checking", "cleaning", "collecting", "comparing", "drawing", "serving", "training", "tuning", "using"]
