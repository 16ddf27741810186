"""The command that serves classifiers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tellapart.cli.app import AnySeed, Json, app

if TYPE_CHECKING:
    from tellapart.server.models import Models

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@app.command(epilog="Example: tellapart serve runs/coins flowers=runs/flowers-2 --port 8000")
def serve(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN [NAME=RUN]...", help="Runs or bundles, each under its name; the first is asked first."),
    ],
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 for whoever reaches this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8000,
    root_path: Annotated[str, typer.Option("--root-path", metavar="/PREFIX", help="Where a proxy puts it.")] = "",
    api_keys: Annotated[
        Path | None, typer.Option("--api-keys", metavar="FILE", help="Lines of a name and a key's SHA-256; others are refused.")
    ] = None,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures by link, from public addresses only.")] = False,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=0.0, metavar="N", show_default=False, help="Requests a second of one key (or address). 0: any number."
        ),
    ] = 0.0,
    max_body: Annotated[int, typer.Option("--max-body", min=1, max=256, metavar="MIB", help="Of one request.")] = 32,
    max_pictures: Annotated[int, typer.Option("--max-pictures", min=1, help="Of one request.")] = 64,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Pictures of all requests at a time; more are refused (429).")
    ] = 256,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """A web page and an API that say what is on pictures, until Ctrl-C. Logs are JSON lines on stderr."""
    from tellapart.errors import CallError
    from tellapart.server.limits import MIB, Limits
    from tellapart.server.starting import serve as run

    if max_pictures > queue:
        raise CallError(f"--max-pictures {max_pictures} is more than --queue {queue}: such a request could never be answered")
    limits = Limits(body_bytes=max_body * MIB, pictures=max_pictures, queue_pictures=queue, requests_per_s=rate)

    def tell(url: str, models: Models) -> None:
        names = [one.name for one in models]
        print(json.dumps({"url": url, "models": names}) if as_json else f"{', '.join(names)}: {url}", flush=True)
        if host not in LOOPBACK and api_keys is None:
            print("whoever reaches this machine may ask; --api-keys FILE lets in only whom you know", file=sys.stderr)

    run(runs, host=host, port=port, root_path=root_path, keys_file=api_keys, allow_urls=allow_urls, limits=limits, on_ready=tell)
