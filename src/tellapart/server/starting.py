"""From a command line's words to models in memory and a port."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tellapart.errors import CallError
from tellapart.images.decoding import known_formats
from tellapart.inference.runtimes import import_library, runtime_library
from tellapart.server.keys import Keys
from tellapart.server.limits import Limits
from tellapart.server.links import Links
from tellapart.server.metrics import Metrics
from tellapart.server.models import Models, named_places
from tellapart.server.services import Service


def serve(
    words: Sequence[str],
    *,
    host: str,
    port: int,
    root_path: str,
    keys_file: Path | None,
    allow_urls: bool,
    limits: Limits,
    on_ready: Callable[[str, Models], None],
) -> None:
    """Serve RUN and NAME=RUN until SIGTERM or Ctrl-C; `on_ready` is called with the address when requests are answered.

    SIGHUP loads models and keys anew, and a link that leads elsewhere its model. Port 0 is any free one.
    Raises CallError for a place where nothing is, an address that cannot be listened on or a wrong file of keys, BundleError, and
    MissingExtraError where links are to be fetched without aiohttp.
    """
    places = named_places(words)
    keys = Keys.read(keys_file) if keys_file else None
    links = Links(limits) if allow_urls else None
    _raise_file_limit()
    prefix = _prefix(root_path)
    with listening(host, port) as listener:
        with suppress(ImportError):  # who loads a model says what is wrong
            import_library(runtime_library())  # while two threads import, either waits for the other all the time
        with ThreadPoolExecutor(1) as other:
            loading = other.submit(Models, places, metrics := Metrics())
            from tellapart.server.app import make_app  # FastAPI takes as long to import as a model to load
            from tellapart.server.running import run

            app = make_app(keyed=keys is not None, fetches=links is not None)
            known_formats()  # so that the first picture of a rare format need not wait for it
        service = Service(loading.result(), metrics, limits, keys, links=links)
        ready = partial(on_ready, _url(listener) + prefix, service.models)
        run(app, service, listener, root_path=prefix, keys_file=keys_file, on_ready=ready)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens already: who comes while the models are loaded waits."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        text = os.strerror(number) if number and number > 0 else str(error)
        raise CallError(f"cannot listen on {host}, port {port}: {text}. Choose others: --host, --port") from error
    # Else the second part of an answer would wait for the client's word on the first, 40 ms. Those that it accepts are alike.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _prefix(root_path: str) -> str:
    parts = [part for part in root_path.split("/") if part]
    return "".join(f"/{part}" for part in parts)


def _raise_file_limit() -> None:
    """Connections are files, of which many systems allow 1,024 until asked."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
