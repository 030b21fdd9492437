"""Settings and limits of the service."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

API_KEY = "OSEMN_API_KEY"


class Settings(BaseModel):
    """Settings of a service; sizes in bytes and pixels, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = "fashion_mnist"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body: Annotated[int, Field(ge=1)] = 5 * 2**20  # a photograph from a telephone
    max_buffered: Annotated[int, Field(ge=1)] = 256 * 2**20  # of all bodies that are being received
    max_side: Annotated[int, Field(ge=1)] = 4_096
    max_pixels: Annotated[int, Field(ge=1)] = 16_000_000  # of one image: 48 MB decoded in colour
    max_images: Annotated[int, Field(ge=1)] = 64  # of one request
    max_requests: Annotated[int, Field(ge=1)] = 512  # in progress
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    queue: Annotated[int, Field(ge=0)] = 64  # jobs that wait for a thread
    timeout: Annotated[float, Field(gt=0.0)] = 5.0
    drain: Annotated[float, Field(gt=0.0)] = 30.0  # for requests in progress when the service is asked to end
    watch: Annotated[float, Field(gt=0.0)] = 1.0  # between checks for a new promotion
    drift_window: Annotated[int, Field(ge=30)] = 200  # images
    # from one drift window to the next, over all workers: the thresholds are computed for 24 windows a day; if several
    # services share the traffic, multiply by their number
    drift_every: Annotated[float, Field(ge=0.0)] = 3_600.0
    log_requests: bool = True
