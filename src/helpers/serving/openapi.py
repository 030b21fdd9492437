"""What the API accepts and returns, as pydantic models from which FastAPI writes its description."""

import copy
from math import prod
from typing import Any, Literal

from pydantic import BaseModel, Field

from helpers.serving import decode
from helpers.serving.model import Served
from helpers.serving.settings import Settings

_LIMITS = Settings()
DESCRIPTION = (
    f"Classifies images. Send a file ({decode.KINDS}) as the body, up to 64 files as multipart/form-data, or pixels as "
    f"JSON. An image has at most {_LIMITS.max_side:,} pixels a side and {_LIMITS.max_pixels:,} in all, the files of a request "
    f"{decode.TOTAL_PIXELS * _LIMITS.max_pixels:,} together, a body {_LIMITS.max_body:,} bytes. "
    "Images of any size and colour are prepared as for training: turned upright, transparency replaced by `background`. If "
    "the data set's own images show objects on black, an image is turned light on dark, cropped to the drawing, scaled and "
    "centred (`frame`); otherwise its middle is cropped and resized to the model's shape."
)
LARGEST_EXAMPLE = 20_000  # numbers in an example; a page with more is slow to read


class ImageQuery(BaseModel):
    """Options for preparing images."""

    background: Literal["white", "black"] = Field(
        "white", description="The colour that replaces transparency."
    )
    invert: bool = Field(
        False, description="Whether to invert brightness; ignored for images that are framed."
    )
    frame: bool = Field(
        True,
        description="Whether to frame images of other sizes than the model's as the data set's own were.",
    )


class ClassProbability(BaseModel):
    """A class and its calibrated probability."""

    name: str = Field(alias="class")
    probability: float


class Prediction(BaseModel):
    """The prediction for one image."""

    name: str = Field(alias="class")
    label: int
    confidence: float = Field(description="Calibrated probability of the predicted class.")
    unknown: bool | None = Field(
        description="Whether the image seems to show none of the classes; null if the version cannot tell."
    )
    probabilities: dict[str, float] = Field(description="The model's own output.")
    calibrated: dict[str, float] = Field(description="Probabilities after scaling.")
    top: list[ClassProbability] = Field(description="The most probable classes; the first is the prediction.")


class ServedModel(BaseModel):
    """The data set and the version that a prediction comes from."""

    dataset: str
    version: str


class PredictResponse(BaseModel):
    """One prediction per image, in the order of the request."""

    request_id: str
    model: ServedModel
    predictions: list[Prediction]


class ErrorDetail(BaseModel):
    """Why a request was refused."""

    reason: str = Field(description="A short name, as counted in /metrics.")
    message: str


class Error(BaseModel):
    """The response to a request that was refused."""

    request_id: str
    error: ErrorDetail


class TestMetrics(BaseModel):
    """Accuracy on the test set."""

    n: int
    accuracy: float
    accuracy_ci95: list[float]
    macro_f1: float
    temperature: float
    exponent: float = 1.0


class ModelFacts(BaseModel):
    """The served version and its quality."""

    dataset: str
    version: str
    created: str
    candidate: str
    label: str
    classes: list[str]
    signature: dict[str, Any]
    framed: bool = Field(
        description="Whether `frame` applies: the data set's own images show objects on black."
    )
    metrics: TestMetrics
    sha256: str

    @classmethod
    def of(cls, served: Served) -> "ModelFacts":
        """Return the facts about the served version, from its manifest."""
        manifest = served.version.manifest
        own = {
            "version": served.version.name,
            "framed": served.preparation.framing is not None,
            "metrics": manifest["metrics"]["test"],
            "sha256": manifest["files"]["model.onnx"]["sha256"],
        }
        return cls.model_validate({**manifest, **own})


class DriftState(BaseModel):
    """The state of a worker's drift monitor."""

    worker: int
    workers: int
    watched: bool = Field(description="Whether the version has a drift reference.")
    window: int = Field(description="Images in a window.")
    collected: int = Field(description="Images in the current window so far.")
    examined: int = Field(description="Windows examined.")
    last: dict[str, Any] | None = Field(
        description="The result of the last window, and the proportion of its images that are unknown."
    )


_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_PIXELS: dict[str, Any] = {
    "type": "array",
    "description": "[H, W] or [H, W, C], raw pixels.",
    "items": {"type": "array", "items": {}},
}


def _list_of(name: str, items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with one list in it."""
    listed = {"type": "array", "minItems": 1, "maxItems": _LIMITS.max_images, "items": items}
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: listed}}


# what FastAPI cannot derive, as the service reads the body itself
REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": _FILE} for kind in decode.IMAGE_TYPES}
        | {
            "multipart/form-data": {"schema": _list_of("files", _FILE)},
            "application/json": {"schema": _list_of("images", _PIXELS)},
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text}
    for status, text in {
        400: "The body is empty, or does not match its content type.",
        401: "The key is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "The body, an image, all images together or the number of parts is too large.",
        415: "The content type or the file format is not supported.",
        422: "An image is damaged or has too many parts, or pixels or query parameters have invalid values.",
        503: "The service is overloaded; try again after the seconds in Retry-After.",
    }.items()
}


def with_example(description: dict[str, Any], path: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return a copy of the API's description with an example of JSON that the served model accepts.

    Args:
        description: in OpenAPI.
        path: of the prediction route.
        shape: `(H, W, C)` of the model; images of more than `LARGEST_EXAMPLE` numbers get no example.
    """
    if prod(shape) > LARGEST_EXAMPLE:
        return description
    height, width, channels = shape
    pixels: list[Any] = [[5 * (row + column) % 256 for column in range(width)] for row in range(height)]
    if channels > 1:
        pixels = [[[value] * channels for value in row] for row in pixels]
    name = f"one image of {height} × {width} {'grey' if channels == 1 else 'coloured'} pixels"
    copied = copy.deepcopy(description)
    body = copied["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {name: {"value": {"images": [pixels]}}}
    return copied
