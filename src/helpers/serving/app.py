"""The application and its routes, built by `create` and run by `helpers.serving.server`."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Response, Security
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from helpers.serving import openapi
from helpers.serving.middleware import PREDICT, Front, refusal
from helpers.serving.service import Service, ending
from helpers.serving.settings import Settings

log = logging.getLogger("osemn.serving")


def create(settings: Settings) -> FastAPI:
    """Return the application for a service with these settings.

    Raises:
        OsemnError: there is no version to serve, or it is damaged.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        facts = {"version": service.holder.served.version.name, "key": bool(service.key)}
        log.info("ready", extra={"facts": facts})
        yield
        watching.cancel()
        service.pool.close()
        service.monitor.close()

    app = FastAPIOffline(  # its /docs work without the internet
        title="OSEMN Vision", version="1", description=openapi.DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    app.state.service = service
    app.include_router(_api(service))
    _add_health(app, service)
    plain = app.openapi
    app.openapi = lambda: openapi.with_example(plain(), PREDICT, service.holder.served.shape)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Front, service=service)
    return app


def _api(service: Service) -> APIRouter:
    """Return the routes that a key protects, if one is set; `Front` checks it."""
    key = Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The service's key."))
    api = APIRouter(dependencies=[key] if service.key else [])

    @api.post(
        PREDICT,
        tags=["prediction"],
        summary="Classify images",
        response_model=openapi.PredictResponse,
        responses=openapi.REFUSALS,
        openapi_extra=openapi.REQUEST_BODY,
    )
    async def predict(options: Annotated[openapi.ImageQuery, Query()]) -> None:
        """Return the class of each image, with calibrated probabilities."""
        # never called: `Front` responds before the router is reached, which saves a third of the time of a small request

    @api.get("/v1/model", tags=["model"], summary="Describe the served version")
    async def model() -> openapi.ModelFacts:
        return openapi.ModelFacts.of(service.holder.served)

    @api.get("/v1/drift", tags=["model"], summary="Compare recent images with the validation images")
    async def drift() -> openapi.DriftState:
        """Return the state of the worker that responds.

        Each worker collects a window of its own images: `worker` is its process id, one of `workers`. Alarms of all workers are
        added up in /metrics: `osemn_drift_windows_total` with `drifted="yes"`; `osemn_drift_p_value` is the smallest of their
        last windows.
        """
        workers = service.settings.workers
        return openapi.DriftState(worker=os.getpid(), workers=workers, **service.monitor.state())

    return api


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health/live", tags=["health"], summary="Check that the process responds")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready", tags=["health"], summary="Check that a proven version is being served")
    async def ready() -> Response:
        if ending.is_set():
            return JSONResponse({"status": "ending"}, 503)
        return JSONResponse({"status": "ready", "version": service.holder.served.version.name})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Return what no route takes in the form of all other errors."""
    request_id = request.scope.get("osemn.id", "")
    message = f"{error.detail}. The page /docs describes the requests that the service takes."
    return refusal(request_id, error.status_code, "route", message, error.headers)
