"""The application: its routes. Made by `create`; run by `helpers.serving.server`."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from helpers.serving import openapi
from helpers.serving.metrics import CONTENT_TYPE
from helpers.serving.middleware import PREDICT, RETRY_AFTER, Front, refusal
from helpers.serving.service import Service, ending
from helpers.serving.settings import Settings

log = logging.getLogger("osemn.serving")


def create(settings: Settings) -> FastAPI:
    """Return the application.

    Args:
        settings: what it may do and how much of it.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if service.holder.served is None:  # `server` has begun it already
            await asyncio.to_thread(service.begin)
        watching = asyncio.create_task(service.watch())
        facts = {"version": service.holder.served.version.name, "key": bool(service.key)}
        log.info("ready", extra={"facts": facts})
        yield
        watching.cancel()
        service.pool.close()
        service.monitor.close()

    app = FastAPIOffline(  # /docs with what it needs beside it, for machines without the internet
        title="OSEMN Vision",
        version="1",
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    _add_routes(app, service)
    _describe_served(app, service)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Front, service=service)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        PREDICT,
        tags=["prediction"],
        summary="Tell what pictures show",
        openapi_extra=openapi.PREDICT,
        responses=openapi.RESPONSES,
        response_model=None,
    )
    async def predict() -> None:
        """Described here; `Front` answers it, without the detour through the router."""

    @app.get("/v1/model", tags=["model"], summary="Which version is served, and how good it is")
    async def model() -> dict[str, Any]:
        return openapi.of_model(service.current())

    @app.get(
        "/v1/drift",
        tags=["model"],
        summary="Whether the pictures of late are like those it was checked on",
        description=openapi.DRIFT,
    )
    async def drifted() -> dict[str, Any]:
        state = service.monitor.state() if service.monitor else {"watched": False}
        return {"worker": os.getpid(), "workers": service.settings.workers, **state}

    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready", tags=["health"], summary="The golden inputs gave the golden outputs")
    async def ready() -> Response:
        served = service.holder.served
        if served is None:
            return JSONResponse({"status": "loading"}, 503, {"Retry-After": RETRY_AFTER})
        if ending.is_set():
            return JSONResponse({"status": "ending"}, 503)
        return JSONResponse({"status": "ready", "version": served.version.name})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


def _describe_served(app: FastAPI, service: Service) -> None:
    """Let the description's example be one that the served version answers, and name the key where one is wanted."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        served = service.holder.served
        found = openapi.with_key(plain()) if service.key else plain()
        return openapi.with_example(found, PREDICT, served.shape) if served else found

    app.openapi = described


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answer what no route takes in the form of all other errors."""
    return refusal(
        request.scope.get("osemn.id", ""), error.status_code, "route", str(error.detail), error.headers
    )
