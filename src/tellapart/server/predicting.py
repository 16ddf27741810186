"""`POST /v1/predict`, from the request to the answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tellapart.errors import CallError, unknown_name
from tellapart.inference import Prediction
from tellapart.inference.explaining import N_HIDDEN, Explanation
from tellapart.server.bodies import read_body
from tellapart.server.guarding import PREDICT, route_path
from tellapart.server.limits import Held, Limits, Refusal
from tellapart.server.models import Served
from tellapart.server.schemas import Options
from tellapart.server.services import Service
from tellapart.server.uploads import Asked, Upload, read_uploads
from tellapart.words import counted

Awaited = TypeVar("Awaited")
ALLOW = "--allow-urls turns it on"
PARSED_AT_ONCE = 2**16  # bytes of a body of several parts; a larger one is parsed in a thread, while others are answered


class Predictor:
    """An ASGI app that answers predictions, and leaves all other requests to another.

    Through FastAPI's middlewares, routes and dependencies, which have nothing to do here, an answer would take twice the time of
    the event loop. May raise Refusal before anything is sent.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or route_path(scope) != PREDICT:
            await self._app(scope, receive, send)
            return
        with suppress(ClientDisconnect):  # no one reads an answer
            response = await _answer(Request(scope, receive), self._service)
            await response(scope, receive, send)


async def _answer(request: Request, service: Service) -> Response:
    options = _options(request.query_params)
    facts = request.state.facts
    with service.room.held() as held:
        body = await read_body(request, service.limits, held)
        asked = await _parsed(request.headers.get("content-type", ""), body, service)
        if asked.options:
            options = _options({**request.query_params, **asked.options})
        served = _served(service, options)
        n_predictions = _n_predictions(len(asked.uploads), options, service.limits)
        facts |= {"model": served.name, "version": served.version, "pictures": len(asked.uploads)}
        async with _within(service.limits.answer_s):
            uploads = await _fetched(request, asked.uploads, held, service)
            held.take(n_pictures=n_predictions)  # only now: slow links must not keep others from their answers
            predictions = await _awaited(request, service.submit(uploads, served, tta=options.tta))
            explained: Sequence[Explanation | None] = [None] * len(uploads)
            if options.explain:
                explained = await _awaited(request, service.explain(uploads, predictions, served, tta=options.tta))
    results = [_row(*of_one, options) for of_one in zip(uploads, predictions, explained, strict=True)]
    content = {
        "model": served.name,
        "version": served.version,
        "results": results,
        "seconds": round(time.monotonic() - request.state.since, 4),
        "request_id": request.state.request_id,
    }
    status = 422 if all(one.error for one in predictions) else 200
    return Response(json.dumps(content), status, media_type="application/json")


@asynccontextmanager
async def _within(limit_s: float) -> AsyncIterator[None]:
    """Raises Refusal (503) when the time is over."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise Refusal(503, "too_late", f"no answer within {limit_s:.0f} s; try again", retry_after_s=1) from error


async def _parsed(content_type: str, body: bytes, service: Service) -> Asked:
    if len(body) <= PARSED_AT_ONCE or content_type.startswith("image/"):
        return read_uploads(content_type, body, service.limits)
    return await asyncio.to_thread(read_uploads, content_type, body, service.limits)


def _options(given: Mapping[str, Any]) -> Options:
    """Raises Refusal (422) where an option is unknown or has a wrong value."""
    for name in given.keys() - Options.model_fields.keys():
        raise Refusal(422, "option", str(unknown_name("option", name[:80], Options.model_fields)))
    try:
        return Options.model_validate(dict(given))
    except ValidationError as error:
        raise Refusal(422, "option", "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors()[:5])) from error


def _served(service: Service, options: Options) -> Served:
    """The model that is asked. Raises Refusal (404) where there is none."""
    try:
        return service.models.get(options.model)
    except CallError as error:
        raise Refusal(404, "model", str(error)) from error


def _n_predictions(n_pictures: int, options: Options, limits: Limits) -> int:
    """How many pictures' room an answer takes. Raises Refusal (413) where the server could never give so much."""
    n = n_pictures * (1 + N_HIDDEN) if options.explain else n_pictures
    if n > limits.queue_pictures:
        most = f"at most {limits.queue_pictures} are made at a time"
        text = f"to explain {counted(n_pictures, 'picture')} takes {n} predictions, and {most}"
        raise Refusal(413, "too_many_parts", f"{text}; send fewer, or without 'explain'")
    return n


async def _fetched(request: Request, uploads: Sequence[Upload], held: Held, service: Service) -> Sequence[Upload]:
    """The uploads, links replaced by their pictures. Raises Refusal where links are not fetched, or are too many."""
    if not (n_links := sum(bool(one.link) for one in uploads)):
        return uploads
    if service.links is None:
        raise Refusal(403, "links", f"this server fetches no links ({ALLOW}); send the picture itself as 'data'")
    if n_links > service.limits.links:
        raise Refusal(413, "too_many_parts", f"more than {service.limits.links} links in one request; send them in several")
    [fetched] = await _awaited(request, [asyncio.ensure_future(service.links.fetch(uploads, held))])
    return fetched


async def _awaited(request: Request, answers: Sequence[asyncio.Future[Awaited]]) -> list[Awaited]:
    """The answers. They are dropped where the client leaves, which raises ClientDisconnect, or time is up."""
    gone = asyncio.ensure_future(request.receive())  # the body is read, so that only the client's leaving can come
    gone.add_done_callback(lambda _: [answer.cancel() for answer in answers])
    try:
        return [await answer for answer in answers]
    except asyncio.CancelledError:
        if gone.done():
            raise ClientDisconnect from None
        raise
    finally:
        gone.cancel()


def _row(upload: Upload, prediction: Prediction, explained: Explanation | None, options: Options) -> dict[str, Any]:
    """A picture's answer: the prediction as it is everywhere, its path being the upload's name, cut to what is wanted."""
    row = prediction.to_json()
    del row["path"]
    if options.top_k is not None:
        best = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        row["probabilities"] = dict(best[: options.top_k])
    if prediction.probability is not None and prediction.probability < options.min_confidence:
        row["label"] = None  # of a model of several labels too
    row["labels"] = [label for label in prediction.labels if prediction.probabilities[label] >= options.min_confidence]
    explanation = {"explanation": explained.to_json()} if explained else {}
    return {"name": upload.name, **row, **explanation}
