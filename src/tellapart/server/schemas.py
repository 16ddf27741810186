"""What the API takes and answers, as its OpenAPI document tells it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tellapart.inference.explaining import N_HIDDEN

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4sUADAAPEAZHWDX0gAAAAAElFTkSuQmCC"  # a PNG of 1 × 1 px


class Options(BaseModel):
    """How pictures are to be answered."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str | None, Field(max_length=64, description="A model's name; the first where none is given.")] = None
    top_k: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Only so many of the most probable classes, the first first.")
    ] = None
    min_confidence: Annotated[
        float, Field(ge=0, le=1, description="Below this probability the label is null: not sure enough.")
    ] = 0.0
    tta: Annotated[bool, Field(description="The mean over two or four views of the picture: so many times the time.")] = False
    explain: Annotated[
        bool, Field(description=f"Which parts of a picture its label rests on: {N_HIDDEN} more predictions a picture.")
    ] = False


class Explanation(BaseModel):
    """How much the probability of a label falls when a part of the picture is hidden."""

    label: Annotated[str, Field(description="The most probable class.")]
    probability: Annotated[float, Field(description="Its probability when nothing is hidden.")]
    rows: Annotated[int, Field(description="Of the grid, from the top.")]
    columns: Annotated[int, Field(description="Of the grid, from the left.")]
    drops: Annotated[
        list[list[float]],
        Field(description="By row and column, from -1 to 1: above 0 the place speaks for the label, below 0 against it."),
    ]
    box: Annotated[
        list[float],
        Field(
            description="What the grid covers: left, top, right and bottom in parts of the upright picture's width and height."
        ),
    ]


class Answer(BaseModel):
    """What is said of one picture; with an `error`, why nothing is."""

    name: Annotated[str, Field(description="The file's name as it was sent, '' without one; of a link without a name itself.")]
    label: Annotated[str | None, Field(description="The most probable class; null below `min_confidence`.")]
    probability: Annotated[float | None, Field(description="Of the most probable class.")]
    probabilities: Annotated[dict[str, float], Field(description="By class; of all, or of the `top_k` most probable.")]
    unknown: Annotated[
        bool | None, Field(description="Like none of the training pictures: do not trust the label, however probable.")
    ]
    error: Annotated[str | None, Field(description="Why the picture could not be read.")]
    labels: Annotated[
        list[str], Field(description="What is on the picture: the label, or of a model that says several those that it says.")
    ]
    explanation: Annotated[Explanation | None, Field(description="Where it was asked for with `explain`.")] = None


class Answers(BaseModel):
    """An answer for each picture, in their order."""

    model: str
    version: Annotated[str, Field(description="The beginning of the SHA-256 of the network.")]
    results: list[Answer]
    seconds: Annotated[float, Field(description="From the request's first byte to the answer.")]
    request_id: str


class Model(BaseModel):
    """A model that is served."""

    name: str
    version: str
    classes: list[str]
    arch: str
    created: Annotated[str, Field(description="UTC, ISO 8601.")]
    side_px: Annotated[int, Field(description="Side of the network's input.")]


class ModelList(BaseModel):
    """The models by name, the one that is asked by default first."""

    models: list[Model]


class State(BaseModel):
    """How a server is."""

    state: str


class Reason(BaseModel):
    """Why a request was not answered as asked."""

    kind: Annotated[str, Field(description="One word for counting.")]
    text: Annotated[str, Field(description="What happened, what was found, what to do.")]


class Problem(BaseModel):
    """The answer to a request that was refused."""

    error: Reason
    request_id: str


EXAMPLE = {
    "model": "coins",
    "version": "3f9a1c27d0be",
    "results": [
        {
            "name": "a.jpg",
            "label": "gold",
            "probability": 0.97,
            "probabilities": {"gold": 0.97, "silver": 0.02, "copper": 0.01},
            "unknown": False,
            "error": None,
            "labels": ["gold"],
        }
    ],
    "seconds": 0.021,
    "request_id": "5b0c9c1f2a7e4d53",
}
_IMAGE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {"file": {"type": "array", "items": _IMAGE, "minItems": 1}},
    "required": ["file"],
}
_OPTIONS: dict[str, Any] = {
    "model": {"type": "string"},
    "top_k": {"type": "integer", "minimum": 1},
    "min_confidence": {"type": "number", "minimum": 0, "maximum": 1},
    "tta": {"type": "boolean"},
    "explain": {"type": "boolean"},
}
_NAME = {"name": {"type": "string"}}
_DATA = {"data": {"type": "string", "contentEncoding": "base64", "minLength": 1}}
_LINK = {"url": {"type": "string", "format": "uri", "minLength": 1}}
_EXAMPLES = {
    "one": {"value": {"images": [{"name": "a.png", "data": PIXEL}], "top_k": 3}},
    "explained": {"value": {"images": [{"data": PIXEL}], "explain": True}},
}
_LINK_EXAMPLE = {"link": {"value": {"images": [{"url": "https://pictures.example/a.jpg"}]}}}


def request_body(*, links: bool) -> dict[str, Any]:
    """What `POST /v1/predict` takes, with examples; of links only where they are fetched."""
    image = {"anyOf": [_object(_DATA, _NAME), _object(_LINK, _NAME)]} if links else _object(_DATA, _NAME)
    in_json = _object({"images": {"type": "array", "minItems": 1, "items": image}}, _OPTIONS)
    examples = _EXAMPLES | _LINK_EXAMPLE if links else _EXAMPLES
    raw = {"schema": _IMAGE, "examples": _shown("curl -H 'Content-Type: image/jpeg' --data-binary @a.jpg ADDRESS/v1/predict")}
    form = {"schema": _FORM, "examples": _shown("curl -F file=@a.jpg -F file=@b.png -F top_k=2 ADDRESS/v1/predict")}
    return {
        "required": True,
        "content": {
            "multipart/form-data": form,
            "image/*": raw,
            "application/octet-stream": raw,
            "application/json": {"schema": in_json, "examples": examples},
        },
    }


def _object(required: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with these members, and no more."""
    properties = required | others
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def _shown(line: str) -> dict[str, Any]:
    """An example of bytes, which JSON cannot hold: the line that sends them."""
    return {"curl": {"summary": line}}
