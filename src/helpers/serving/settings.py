"""What the service may do and how much of it."""

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
    max_body: Annotated[int, Field(ge=1)] = 5 * 2**20
    max_buffered: Annotated[int, Field(ge=1)] = 256 * 2**20
    max_side: Annotated[int, Field(ge=1)] = 4_096
    max_pixels: Annotated[int, Field(ge=1)] = 16_000_000
    max_images: Annotated[int, Field(ge=1)] = 64
    max_requests: Annotated[int, Field(ge=1)] = 512
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    queue: Annotated[int, Field(ge=0)] = 64
    timeout: Annotated[float, Field(gt=0.0)] = 5.0
    drain: Annotated[float, Field(gt=0.0)] = 30.0
    watch: Annotated[float, Field(gt=0.0)] = 1.0
    drift_window: Annotated[int, Field(ge=30)] = 200
    drift_every: Annotated[
        float,
        Field(
            ge=0.0,
            description="From one drift window to the next, over all workers: each waits so long times their number. The "
            "thresholds are found for 24 windows a day; of several services, each wants it times their number.",
        ),
    ] = 3_600.0
    log_requests: bool = True
