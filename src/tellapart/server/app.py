"""The routes: each parses, calls one function, answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tellapart import __version__, pages
from tellapart.errors import CallError, unknown_name
from tellapart.inference import Prediction
from tellapart.inference.explaining import N_HIDDEN, Explanation
from tellapart.server.bodies import read_body
from tellapart.server.guarding import refused
from tellapart.server.limits import Held, Limits, Refusal
from tellapart.server.models import Served
from tellapart.server.schemas import EXAMPLE, Answers, Model, ModelList, Options, Problem, State, request_body
from tellapart.server.services import Service
from tellapart.server.uploads import Asked, Upload, read_uploads
from tellapart.words import counted

Awaited = TypeVar("Awaited")
ALLOW = "--allow-urls turns it on"
PAGE = Path(__file__).parent / "page"
PAGE_TYPES = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
PARSED_AT_ONCE = 2**16  # bytes of a body; a larger one is parsed in a thread, while others are answered
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is broken or has no picture."},
    401: {"description": "A key is needed."},
    403: {"description": f"Asked by a page of another site, or to fetch a link ({ALLOW})."},
    404: {"description": "There is no such model."},
    408: {"description": "The body came too slowly."},
    413: {"description": "The body is too large or has too many parts."},
    415: {"description": "The content type is none of those that are taken."},
    422: {
        "description": "An option is wrong (error), or none of the pictures could be read (results).",
        "model": Problem | Answers,
    },
    429: {"description": "Too many requests; Retry-After says when to come again."},
    503: {"description": "It took too long."},
}
# They tell the document alone how a key is sent; `guarding` has checked it before.
KEY_SCHEMES = (HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False))


def make_app(service: Service) -> FastAPI:
    """The routes around a service."""
    app = FastAPI(
        title="Tellapart",
        version=__version__,
        description="Tells pictures apart. A picture that cannot be read is its own row's error.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    described = {status: {"model": Problem} | more for status, more in REFUSALS.items()}
    example: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": EXAMPLE}}}}
    asked = {"requestBody": request_body(links=service.links is not None)}
    keyed: Any = {"dependencies": [Depends(scheme) for scheme in KEY_SCHEMES] if service.keys else []}
    app.post("/v1/predict", response_model=Answers, responses=described | example, openapi_extra=asked, **keyed)(predict)
    app.get("/v1/models", response_model=ModelList, responses={code: described[code] for code in (401, 403)}, **keyed)(models)
    app.get("/health", response_model=State)(health)
    app.get("/ready", response_model=State, responses={503: {"model": State, "description": "Draining."}})(ready)
    app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}, **keyed)(metrics)
    for name in PAGE_TYPES:
        app.get("/" if name == "index.html" else f"/{name}", include_in_schema=False)(_page_route(name))
    return app


async def predict(request: Request, options: Annotated[Options, Query()]) -> Response:
    """What is on pictures: a multipart form with one or many files, one picture as the body, or JSON with base64.

    Options may stand in the query, in the form or in the JSON; these come before the query's.
    """
    service: Service = request.app.state.service
    facts = request.state.facts
    with service.room.held() as held:
        body = await read_body(request, service.limits, held)
        asked = await _parsed(request.headers.get("content-type", ""), body, service)
        options = _merged(options, asked)
        served = _served(service, options)
        n_predictions = _n_predictions(len(asked.uploads), options, service.limits)
        facts |= {"model": served.name, "version": served.version, "pictures": len(asked.uploads)}
        until = asyncio.get_running_loop().time() + service.limits.answer_s
        uploads = await _fetched(request, asked.uploads, held, until)
        held.take(n_pictures=n_predictions)  # only now: slow links must not keep others from their answers
        predictions = await _answered(request, service.submit(uploads, served, tta=options.tta), until)
        explained: Sequence[Explanation | None] = [None] * len(uploads)
        if options.explain:
            explained = await _answered(request, service.explain(uploads, predictions, served, tta=options.tta), until)
    results = [_row(*of_one, options) for of_one in zip(uploads, predictions, explained, strict=True)]
    content = {
        "model": served.name,
        "version": served.version,
        "results": results,
        "seconds": round(time.monotonic() - request.state.since, 4),
        "request_id": request.state.request_id,
    }
    return _json(content, 422 if all(one.error for one in predictions) else 200)


async def models(request: Request) -> Response:
    """The models that are served, the one that is asked by default first."""
    service: Service = request.app.state.service
    rows = [
        Model(
            name=one.name,
            version=one.version,
            classes=list(one.classifier.classes),
            arch=one.classifier.manifest.arch,
            created=one.classifier.manifest.created,
            side_px=one.classifier.manifest.fit.side_px,
        )
        for one in service.models
    ]
    return _json(ModelList(models=rows).model_dump())


async def health() -> Response:
    """Whether the process answers at all."""
    return _json({"state": "alive"})


async def ready(request: Request) -> Response:
    """Whether requests should be sent here: the models have answered once, and the server was not told to stop."""
    draining = request.app.state.service.draining
    return _json({"state": "draining" if draining else "ready"}, 503 if draining else 200)


async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type="text/plain; version=0.0.4")


def _page_route(name: str) -> Any:
    content = (PAGE / name).read_text(encoding="utf-8")
    if name == "page.css":
        content = (pages.SHARED / "base.css").read_text(encoding="utf-8") + content

    async def page() -> Response:
        return Response(content, media_type=PAGE_TYPES[name], headers={"cache-control": "no-cache"})

    return page


async def _parsed(content_type: str, body: bytes, service: Service) -> Asked:
    if len(body) <= PARSED_AT_ONCE:
        return read_uploads(content_type, body, service.limits)
    return await asyncio.to_thread(read_uploads, content_type, body, service.limits)


def _merged(options: Options, asked: Asked) -> Options:
    """The options of the query, changed by those of the body. Raises Refusal (422)."""
    for name in asked.options.keys() - Options.model_fields.keys():
        raise Refusal(422, "option", str(unknown_name("option", name[:80], Options.model_fields)))
    try:
        return Options.model_validate(options.model_dump(exclude_unset=True) | dict(asked.options))
    except ValidationError as error:
        raise Refusal(422, "option", _problem(error.errors())) from error


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


async def _fetched(request: Request, uploads: Sequence[Upload], held: Held, until: float) -> Sequence[Upload]:
    """The uploads, links replaced by their pictures. Raises Refusal where links are not fetched, or are too many."""
    service: Service = request.app.state.service
    if not (n_links := sum(bool(one.link) for one in uploads)):
        return uploads
    if service.links is None:
        raise Refusal(403, "links", f"this server fetches no links ({ALLOW}); send the picture itself as 'data'")
    if n_links > service.limits.links:
        raise Refusal(413, "too_many_parts", f"more than {service.limits.links} links in one request; send them in several")
    [fetched] = await _answered(request, [asyncio.ensure_future(service.links.fetch(uploads, held))], until)
    return fetched


async def _answered(request: Request, answers: Sequence[asyncio.Future[Awaited]], until: float) -> list[Awaited]:
    """The answers; they are dropped where the client leaves, or `until` (of the loop's time) is over."""
    gone = asyncio.ensure_future(request.receive())  # the body is read, so that only the client's leaving can come
    try:
        for answer in answers:
            rest_s = max(0.0, until - asyncio.get_running_loop().time())
            await asyncio.wait((gone, answer), timeout=rest_s, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect if gone.done() else _too_late(request)
        return [answer.result() for answer in answers]
    finally:
        gone.cancel()
        for answer in answers:
            answer.cancel()


def _too_late(request: Request) -> Refusal:
    limit_s = request.app.state.service.limits.answer_s
    return Refusal(503, "too_late", f"no answer within {limit_s:.0f} s; try again", retry_after_s=1)


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


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


def _problem(errors: Sequence[Any]) -> str:
    """What pydantic found, in one sentence."""
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'] if part != 'query')}: {one['msg']}" for one in errors[:5])


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refused(error, request.state.request_id, request.state.facts)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _refused(request, Refusal(422, "option", _problem(error.errors())))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _refused(request, Refusal(error.status_code, "http", error.detail))
    response.headers.update(error.headers or {})
    return response


def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # no one reads it


HANDLERS = {Refusal: _refused, RequestValidationError: _invalid, HTTPException: _http, ClientDisconnect: _gone}
