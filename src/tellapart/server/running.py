"""From a command line's words to a server that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn

from tellapart.errors import CallError, TellapartError
from tellapart.images.decoding import known_formats
from tellapart.server.app import make_app
from tellapart.server.closing import close_listening
from tellapart.server.connections import guarded_protocol
from tellapart.server.doors import Door
from tellapart.server.guarding import Guard
from tellapart.server.keys import Keys
from tellapart.server.limits import Limits
from tellapart.server.links import Links
from tellapart.server.logs import log, take_over_logging
from tellapart.server.metrics import Metrics
from tellapart.server.models import Models, named_places
from tellapart.server.services import Service

LEAVE_S = 0.5  # between being told to stop and listening no more: who is connected is told to leave, who comes is still answered
UNREAD_S = 0.2  # then, for what was accepted and is not read yet
LOOK_S = 2.0  # between looks at where the models' links lead


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
        Thread(target=known_formats).start()  # beside the models, so that the first picture of a rare format need not wait for it
        metrics = Metrics()
        service = Service(Models(places, metrics), metrics, limits, keys, links=links)
        app = Guard(make_app(service), service, root_path=prefix)
        config = uvicorn.Config(
            app,
            http=guarded_protocol(limits, Door(service, root_path=prefix).turn_away),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=round(limits.drain_s),
        )
        take_over_logging()
        ready = partial(on_ready, _url(listener) + prefix, service.models)
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(_run(_Server(config), service, listener, keys_file, ready))
        log("stopped")


class _Server(uvicorn.Server):
    """Stops without losing what it has accepted, and leaves signals to us."""

    def capture_signals(self) -> Any:
        return nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            await close_listening(server, sockets or [])
        await asyncio.sleep(UNREAD_S)
        await super().shutdown(sockets)


def event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is to be had: not on Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _run(
    server: _Server, service: Service, listener: socket.socket, keys_file: Path | None, ready: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    heard = {signal.SIGTERM: stop, signal.SIGINT: stop} | ({signal.SIGHUP: again} if hasattr(signal, "SIGHUP") else {})
    for number, event in heard.items():  # not loop.add_signal_handler, which Windows lacks
        signal.signal(number, lambda *_, event=event: loop.call_soon_threadsafe(event.set))
    ready()  # only now: whoever reads of it may send a signal
    tasks = [asyncio.create_task(_stop_when(stop, server, service)), asyncio.create_task(_reload_when(again, service, keys_file))]
    try:
        await server.serve([listener])
    finally:
        for task in tasks:
            task.cancel()
        service.close()


async def _stop_when(stop: asyncio.Event, server: _Server, service: Service) -> None:
    await stop.wait()
    log("draining", pictures=service.room.n_pictures)
    service.draining = True
    await asyncio.sleep(LEAVE_S)
    server.should_exit = True


async def _reload_when(again: asyncio.Event, service: Service, keys_file: Path | None) -> None:
    """Load what is served anew whenever told to, and what its link has left within `LOOK_S`."""
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                await again.wait()
        except TimeoutError:
            await asyncio.to_thread(service.models.reload_moved)
            continue
        again.clear()
        if keys_file:
            _reload_keys(service, keys_file)
        await asyncio.to_thread(service.models.reload)


def _reload_keys(service: Service, keys_file: Path) -> None:
    try:
        service.keys = Keys.read(keys_file)
    except TellapartError as error:
        log("keys_kept", error=str(error))


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
