"""The routes and their document; predictions are answered before they come here (predicting.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tellapart import __version__, pages
from tellapart.server.guarding import refused
from tellapart.server.limits import Refusal
from tellapart.server.predicting import ALLOW
from tellapart.server.schemas import EXAMPLE, Answers, Model, ModelList, Options, Problem, State, request_body
from tellapart.server.services import Service

PAGE = Path(__file__).parent / "page"
PAGE_TYPES = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
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


def make_app(*, keyed: bool, fetches: bool) -> FastAPI:
    """The routes, for whom a `Service` is to be in `app.state.service` when they are asked.

    The document says whether keys are asked for, and whether links are fetched.
    """
    app = FastAPI(
        title="Tellapart",
        version=__version__,
        description="Tells pictures apart. A picture that cannot be read is its own row's error.",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, _http)
    described = {status: {"model": Problem} | more for status, more in REFUSALS.items()}
    example: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": EXAMPLE}}}}
    asked = {"requestBody": request_body(links=fetches)}
    secured: Any = {"dependencies": [Depends(scheme) for scheme in KEY_SCHEMES] if keyed else []}
    app.post("/v1/predict", response_model=Answers, responses=described | example, openapi_extra=asked, **secured)(predict)
    app.get("/v1/models", response_model=ModelList, responses={code: described[code] for code in (401, 403)}, **secured)(models)
    app.get("/health", response_model=State)(health)
    app.get("/ready", response_model=State, responses={503: {"model": State, "description": "Draining."}})(ready)
    app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}, **secured)(metrics)
    for name in PAGE_TYPES:
        app.get("/" if name == "index.html" else f"/{name}", include_in_schema=False)(_page_route(name))
    return app


async def predict(options: Annotated[Options, Query()]) -> Response:
    """What is on pictures: a multipart form with one or many files, one picture as the body, or JSON with base64.

    Options may stand in the query, in the form or in the JSON; these come before the query's.
    """
    raise HTTPException(404)  # told of in the document alone: `Predictor` answers it


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


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = refused(Refusal(error.status_code, "http", error.detail), request.state.request_id, request.state.facts)
    response.headers.update(error.headers or {})
    return response
