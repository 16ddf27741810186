"""What the API takes and answers, as its OpenAPI document tells it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
    tta: Annotated[bool, Field(description="The mean over views of the picture: twice the time.")] = False


class Answer(BaseModel):
    """What is said of one picture; with an `error`, why nothing is."""

    name: Annotated[str, Field(description="The file's name as it was sent, '' without one.")]
    label: Annotated[str | None, Field(description="The most probable class; null below `min_confidence`.")]
    probability: Annotated[float | None, Field(description="Of the most probable class.")]
    probabilities: Annotated[dict[str, float], Field(description="By class; of all, or of the `top_k` most probable.")]
    unknown: Annotated[
        bool | None, Field(description="Like none of the training pictures: do not trust the label, however probable.")
    ]
    error: Annotated[str | None, Field(description="Why the picture could not be read.")]


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
        }
    ],
    "seconds": 0.021,
    "request_id": "5b0c9c1f2a7e4d53",
}
_IMAGE = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": _IMAGE, "minItems": 1}},
                "required": ["file"],
            }
        },
        "image/*": {"schema": _IMAGE},
        "application/octet-stream": {"schema": _IMAGE},
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["data"],
                            "properties": {
                                "data": {"type": "string", "contentEncoding": "base64", "minLength": 1},
                                "name": {"type": "string"},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "model": {"type": "string"},
                    "top_k": {"type": "integer", "minimum": 1},
                    "min_confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    "tta": {"type": "boolean"},
                },
                "additionalProperties": False,
            },
            "examples": {"one": {"value": {"images": [{"name": "a.png", "data": PIXEL}], "top_k": 3}}},
        },
    },
}
