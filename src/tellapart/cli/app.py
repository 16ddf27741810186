"""The command line's root, and the options that every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tellapart import __version__
from tellapart.launch import refuse_several

app = typer.Typer(
    name="tellapart",
    help="Turn a pile of pictures into a classifier that you can trust, correct and serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout; progress goes to stderr.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides all that is drawn.")]
AnySeed = Annotated[int, typer.Option("--seed", help="Taken as by every command; nothing is drawn here.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or an exported bundle.")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"tellapart {__version__}")
        raise typer.Exit
    if context.invoked_subcommand not in (None, "train"):
        refuse_several(f"`tellapart {context.invoked_subcommand}`")
