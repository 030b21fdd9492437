"""The API's description: what can be sent, with examples that work, and what comes back."""

import copy
from math import prod
from typing import Any

from helpers.serving.decode import TOGETHER
from helpers.serving.model import Served
from helpers.serving.settings import Settings

_LIMITS = Settings()
DESCRIPTION = (
    "Tells what a picture shows. Send a PNG, JPEG or WebP file as the body, up to 64 files as multipart/form-data, or pixels as "
    f"JSON. A picture has at most {_LIMITS.max_side:,} pixels a side and {_LIMITS.max_pixels:,} in all, the files of a request "
    f"{TOGETHER * _LIMITS.max_pixels:,} together, a body {_LIMITS.max_body:,} bytes. "
    "Pictures of any size and colour are prepared as for training: turned upright, transparency laid on `background`; where "
    "the data set's own pictures are things on black, turned light on dark, cut to the ink, scaled and centred (`frame`); otherwise "
    "the middle is cut out and resized to the model's shape."
)

DRIFT = (
    "Each worker collects a window of its own pictures, and this is what the one that happened to answer knows: `worker` is its "
    "process id, one of `workers`. Alarms of all workers are added up in /metrics: `osemn_drift_windows_total` with "
    '`drifted="yes"`; `osemn_drift_p_value` is the smallest of their last windows.'
)

_FILE = {"schema": {"type": "string", "format": "binary"}}
LARGEST_EXAMPLE = 20_000
"""So many numbers an example has at most: a page with more is slow to read."""
PREDICT: dict[str, Any] = {
    "parameters": [
        {
            "name": "background",
            "in": "query",
            "description": "What transparency is laid on.",
            "schema": {"type": "string", "enum": ["white", "black"], "default": "white"},
        },
        {
            "name": "invert",
            "in": "query",
            "description": "Dark and light change places, for pictures that are not framed.",
            "schema": {"type": "boolean", "default": False},
        },
        {
            "name": "frame",
            "in": "query",
            "description": "Pictures of another size than the model's are framed as the data set's own were.",
            "schema": {"type": "boolean", "default": True},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "image/png": _FILE,
            "image/jpeg": _FILE,
            "image/webp": _FILE,
            "application/octet-stream": _FILE,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 64,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 64,
                            "items": {
                                "type": "array",
                                "description": "[H, W] or [H, W, C], raw pixels.",
                                "items": {"type": "array", "items": {}},
                            },
                        }
                    },
                },
            },
        },
    },
}

_ERROR = {
    "type": "object",
    "required": ["request_id", "error"],
    "properties": {
        "request_id": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["reason", "message"],
            "properties": {"reason": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_ANSWER = {
    "type": "object",
    "required": ["request_id", "model", "predictions"],
    "properties": {
        "request_id": {"type": "string"},
        "model": {
            "type": "object",
            "required": ["dataset", "version"],
            "properties": {"dataset": {"type": "string"}, "version": {"type": "string"}},
        },
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["class", "label", "confidence", "probabilities", "calibrated", "top"],
                "properties": {
                    "class": {"type": "string"},
                    "label": {"type": "integer"},
                    "confidence": {"type": "number", "description": "Of the class, calibrated."},
                    "probabilities": {
                        "type": "object",
                        "description": "As the model gives them.",
                        "additionalProperties": {"type": "number"},
                    },
                    "calibrated": {
                        "type": "object",
                        "description": "After temperature scaling, so that they mean what they say.",
                        "additionalProperties": {"type": "number"},
                    },
                    "top": {
                        "type": "array",
                        "description": "The most probable classes, calibrated; the first is the answer.",
                        "items": {
                            "type": "object",
                            "properties": {"class": {"type": "string"}, "probability": {"type": "number"}},
                        },
                    },
                },
            },
        },
    },
}
_WHEN = {
    400: "The body is empty, or not what its type says.",
    401: "The key is missing or wrong.",
    408: "The body did not arrive in time.",
    413: "Body, picture, pictures together or number of parts is too large.",
    415: "The type or the format is not one that is read.",
    422: "A picture is damaged or of too many parts, or pixels or a query have wrong values.",
    503: "Too much to do; come again after the seconds in Retry-After.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A prediction for each picture.",
        "content": {"application/json": {"schema": _ANSWER}},
    },
    **{
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in _WHEN.items()
    },
}


def with_example(description: dict[str, Any], path: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the API's description with an example of JSON that the served model takes.

    Args:
        description: in OpenAPI; it is left as it is.
        path: where pictures are predicted.
        shape: `(H, W, C)` of the model; pictures of more than `LARGEST_EXAMPLE` numbers get no example.
    """
    if prod(shape) > LARGEST_EXAMPLE:
        return description
    height, width, channels = shape
    pixels: list[Any] = [[5 * (row + column) % 256 for column in range(width)] for row in range(height)]
    if channels > 1:
        pixels = [[[value] * channels for value in row] for row in pixels]
    name = f"one picture of {height} × {width} {'grey' if channels == 1 else 'coloured'} pixels"
    found = copy.deepcopy(description)
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {name: {"value": {"images": [pixels]}}}
    return found


def with_key(description: dict[str, Any]) -> dict[str, Any]:
    """Return the API's description, which says that all below `/v1/` wants the key; `description` is left as it is."""
    found = copy.deepcopy(description)
    scheme = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The service's key."}
    found.setdefault("components", {})["securitySchemes"] = {"key": scheme}
    for path, operations in found["paths"].items():
        if path.startswith("/v1/"):
            for operation in operations.values():
                operation["security"] = [{"key": []}]
    return found


def of_model(served: Served) -> dict[str, Any]:
    """Return what `/v1/model` says."""
    manifest = served.version.manifest
    test = manifest["metrics"]["test"]
    return {
        "dataset": manifest["dataset"],
        "version": served.version.name,
        "created": manifest["created"],
        "candidate": manifest["candidate"],
        "label": manifest["label"],
        "classes": list(served.classes),
        "signature": manifest["signature"],
        "metrics": {
            name: test[name] for name in ("n", "accuracy", "accuracy_ci95", "macro_f1", "temperature")
        },
        "sha256": manifest["files"]["model.onnx"]["sha256"],
    }
