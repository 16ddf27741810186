"""A server that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from tellapart.errors import TellapartError
from tellapart.server.closing import close_listening
from tellapart.server.connections import guarded_protocol
from tellapart.server.doors import Door
from tellapart.server.guarding import Guard
from tellapart.server.keys import Keys
from tellapart.server.logs import log, take_over_logging
from tellapart.server.predicting import Predictor
from tellapart.server.services import Service

LEAVE_S = 0.5  # between being told to stop and listening no more: who is connected is told to leave, who comes is still answered
UNREAD_S = 0.2  # then, for what was accepted and is not read yet
LOOK_S = 2.0  # between looks at where the models' links lead


def run(
    app: FastAPI,
    service: Service,
    listener: socket.socket,
    *,
    root_path: str,
    keys_file: Path | None,
    on_ready: Callable[[], None],
) -> None:
    """Serve predictions and `make_app`'s routes until SIGTERM or Ctrl-C; SIGHUP loads models and keys anew.

    `on_ready` is called when signals are heard.
    `root_path` is "" or begins with "/" and does not end with one.
    """
    app.state.service = service
    config = uvicorn.Config(
        Guard(Predictor(app, service), service, root_path=root_path),
        http=guarded_protocol(service.limits, Door(service, root_path=root_path).turn_away),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(service.limits.drain_s),
    )
    take_over_logging()
    with asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(_run(_Server(config), service, listener, keys_file, on_ready))
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
    server: _Server, service: Service, listener: socket.socket, keys_file: Path | None, on_ready: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()
    stop, again = asyncio.Event(), asyncio.Event()
    heard = {signal.SIGTERM: stop, signal.SIGINT: stop} | ({signal.SIGHUP: again} if hasattr(signal, "SIGHUP") else {})
    for number, event in heard.items():  # not loop.add_signal_handler, which Windows lacks
        signal.signal(number, lambda *_, event=event: loop.call_soon_threadsafe(event.set))
    on_ready()  # only now: whoever reads of it may send a signal
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
