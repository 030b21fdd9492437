"""The application: routes, bounds and what is counted. Made by `create`; run by `helpers.serving.server`."""

import asyncio
import contextlib
import hmac
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from helpers import pictures
from helpers.serving import documentation, reading
from helpers.serving.metrics import CONTENT_TYPE, Metrics
from helpers.serving.model import Holder, Served
from helpers.serving.monitor import Monitor
from helpers.serving.pool import Pool
from helpers.serving.reading import RefusedError
from helpers.serving.settings import API_KEY, Settings

if TYPE_CHECKING:
    from PIL import Image

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
RETRY_AFTER = "1"
_PICTURES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
PREDICT = "/v1/predict"
SMALL_PIXELS = 65_536  # up to here, to hand a picture to a thread costs more than to decode it
LINGER = (
    4  # a body that is too large is thrown away up to so many times the bound, then the connection is cut
)
_YES, _NO = ("1", "true", "yes"), ("", "0", "false", "no")
log = logging.getLogger("osemn.serving")


ending = threading.Event()
"""Set when the process was told to end: from then on it is not ready."""


class Service:
    """What all requests of a worker share."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.holder = Holder(settings.dataset)
        self.pool = Pool(settings.threads, settings.queue, settings.timeout)
        self.monitor: Monitor | None = None
        self.key = os.environ.get(API_KEY, "")
        self.buffered = 0

    def begin(self) -> None:
        """Load and prove the current version.

        Raises:
            OsemnError: there is none, or it is not whole.
        """
        self.holder.load()
        self._took_over()

    def _took_over(self) -> None:
        served, before = self.holder.served, self.monitor
        self.monitor = Monitor(served, self.settings.drift_window, self.settings.drift_every, self.metrics)
        if before is not None:
            before.close()
            self.metrics.version.labels(before.served.version.name).set(0)
        self.metrics.version.labels(served.version.name).set(1)

    async def watch(self) -> None:
        """Look for a new promotion from time to time; load it beside the old one, then swap."""
        while True:
            await asyncio.sleep(self.settings.watch)
            refused = self.holder.refused
            try:
                if await asyncio.to_thread(self.holder.look):
                    await asyncio.to_thread(self._took_over)
            except Exception:  # whatever it is, the watch goes on
                log.exception("watch failed")
            self.metrics.versions_refused.inc(self.holder.refused - refused)

    def predict(self, served: Served, images: np.ndarray) -> list[dict[str, Any]]:
        """Return the answers for pictures of the model's shape; runs in the pool."""
        probabilities, embeddings = served.predict(images)
        monitor = self.monitor
        if monitor is not None and monitor.served is served:  # not so for those that a swap overtook
            monitor.add(images, probabilities, embeddings)
        found = served.answers(probabilities)
        for answer in found:
            self.metrics.pictures.labels(answer["class"]).inc()
        return found

    def predict_pictures(
        self, served: Served, opened: list["Image.Image"], background: str, invert: bool
    ) -> list[dict[str, Any]]:
        """Decode opened pictures and predict them; runs in the pool, or at once for a single small one."""
        images = [
            reading.prepared(image, served.shape, background=background, invert=invert) for image in opened
        ]
        return self.predict(served, np.stack(images))

    def predict_files(
        self, served: Served, files: list[bytes], background: str, invert: bool
    ) -> list[dict[str, Any]]:
        """Open, decode and predict picture files; runs in the pool."""
        return self.predict_pictures(
            served, [reading.opened(content, self.settings) for content in files], background, invert
        )

    def predict_arrays(self, served: Served, content: bytes, invert: bool) -> list[dict[str, Any]]:
        """Read pixels from JSON and predict them; runs in the pool."""
        images = reading.arrays(content, served.shape, self.settings)
        return self.predict(served, 255.0 - images if invert else images)


def create(settings: Settings) -> FastAPI:
    """Return the application.

    Args:
        settings: what it may do and how much of it.
    """
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.begin)
        watching = asyncio.create_task(service.watch())
        log.info("ready", extra={"facts": {"version": service.holder.served.version.name}})
        yield
        watching.cancel()
        service.pool.close()
        service.monitor.close()

    app = FastAPI(
        title="OSEMN Vision",
        version="1",
        description=documentation.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    _add_routes(app, service)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Front, service=service)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        PREDICT,
        tags=["prediction"],
        summary="Tell what pictures show",
        openapi_extra=documentation.PREDICT,
        responses=documentation.RESPONSES,
        response_model=None,
    )
    async def predict() -> None:
        """Described here; `Front` answers it, without the detour through the router."""

    @app.get("/v1/model", tags=["model"], summary="Which version is served, and how good it is")
    async def model() -> dict[str, Any]:
        return documentation.of_model(_served(service))

    @app.get(
        "/v1/drift", tags=["model"], summary="Whether the pictures of late are like those it was checked on"
    )
    async def drifted() -> dict[str, Any]:
        return service.monitor.state() if service.monitor else {"watched": False}

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


async def _predict(request: Request, service: Service) -> list[dict[str, Any]]:
    """Return the answers to a prediction request, and note the version in its scope.

    Raises:
        RefusedError: it is not answered.
    """
    served = request.scope["osemn.served"] = _served(service)
    service.pool.demand_room()
    background, invert = _wishes(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*_PICTURES, "application/json", "multipart/form-data"):
        raise RefusedError(
            415, "type", f"Send {', '.join(_PICTURES)}, multipart/form-data or application/json."
        )
    content = await _body(request, service)
    try:
        if kind == "application/json":
            return await service.pool.run(service.predict_arrays, served, content, invert)
        if kind == "multipart/form-data":
            files = await _parts(request, content, service.settings)
            return await service.pool.run(service.predict_files, served, files, background, invert)
        picture = reading.opened(content, service.settings)
        if picture.width * picture.height <= SMALL_PIXELS:
            return service.predict_pictures(served, [picture], background, invert)
        return await service.pool.run(service.predict_pictures, served, [picture], background, invert)
    finally:
        service.buffered -= len(content)  # which `_body` has added


def _wishes(request: Request) -> tuple[str, bool]:
    """Return background and inversion as the query wishes them."""
    if not request.scope["query_string"]:
        return "white", False
    background = request.query_params.get("background", "white")
    if background not in pictures.BACKGROUNDS:
        raise RefusedError(422, "query", f"background must be one of: {', '.join(pictures.BACKGROUNDS)}.")
    wish = request.query_params.get("invert", "").lower()
    if wish not in _YES + _NO:
        raise RefusedError(422, "query", "invert must be true or false.")
    return background, wish in _YES


def _served(service: Service) -> Served:
    if service.holder.served is None:
        raise RefusedError(503, "loading", "The model is being loaded; come again in a moment.")
    return service.holder.served


async def _body(request: Request, service: Service) -> bytes:
    """Return the body, whether its length was announced or not; refuse it where it is too large or too slow.

    What is too much is read on for a while and thrown away: a sender that is cut off never reads why. What is held counts as
    buffered, from its first byte until the caller takes it off again.
    """
    settings = service.settings
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() else settings.max_body
    if expected <= settings.max_body and service.buffered + expected > settings.max_buffered:
        raise RefusedError(503, "memory", "Too many bodies are held; come again in a moment.")
    pieces, size, held = [], 0, 0
    try:
        async with asyncio.timeout(settings.timeout):
            async for piece in request.stream():
                size += len(piece)
                if max(size, expected) <= settings.max_body:
                    pieces.append(piece)
                    held += len(piece)
                    service.buffered += len(piece)
                elif size > LINGER * settings.max_body:
                    break
        if max(size, expected) > settings.max_body:
            raise RefusedError(413, "body", f"The body is larger than {settings.max_body:,} bytes.")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except BaseException as error:
        service.buffered -= held
        if isinstance(error, TimeoutError):
            raise RefusedError(
                408, "slow", f"The body did not arrive within {settings.timeout:g} s."
            ) from None
        raise


async def _parts(request: Request, content: bytes, settings: Settings) -> list[bytes]:
    """Return the files of a multipart body."""

    async def stream() -> AsyncIterator[bytes]:
        yield content

    try:
        form = await MultiPartParser(
            request.headers,
            stream(),
            max_files=settings.max_images,
            max_fields=0,
            max_part_size=settings.max_body,
        ).parse()
    except MultiPartException as error:
        raise RefusedError(
            413 if "Too many" in error.message else 400, "parts", f"{error.message}."
        ) from None
    except Exception as error:  # the parser's own exceptions for what is no multipart at all
        raise RefusedError(400, "parts", f"The body is no multipart/form-data: {str(error)[:100]}.") from None
    try:
        files = [await upload.read() for _, upload in form.multi_items()]
    finally:
        await form.close()
    if not files:
        raise RefusedError(400, "parts", f"Send between 1 and {settings.max_images} files.")
    return files


async def _answer(scope: dict[str, Any], found: list[dict[str, Any]], dataset: str, send: Any) -> None:
    """Send the answer to a prediction request."""
    content = {
        "request_id": scope["osemn.id"],
        "model": {"dataset": dataset, "version": scope["osemn.served"].version.name},
        "predictions": found,
    }
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refuse(error: RefusedError, request_id: str) -> Response:
    more = {"Retry-After": RETRY_AFTER} if error.status == 503 else {}
    more |= {"WWW-Authenticate": "ApiKey"} if error.status == 401 else {}
    more |= {"Connection": "close"} if error.status in (408, 413) else {}
    return _refusal(request_id, error.status, error.reason, error.message, more)


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Answer what no route takes in the form of all other errors."""
    return _refusal(
        request.scope.get("osemn.id", ""), error.status_code, "route", str(error.detail), error.headers
    )


def _refusal(
    request_id: str, status: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    content = {"request_id": request_id, "error": {"reason": reason, "message": message}}
    return JSONResponse(content, status, headers)


class Front:
    """Gives each request an id, checks the key, answers predictions, counts and logs; plain ASGI, for speed."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service, self.at_work = app, service, 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, metrics, headers = perf_counter(), self.service.metrics, dict(scope["headers"])
        wished = headers.get(b"x-request-id", b"").decode("latin-1")
        scope["osemn.id"] = request_id = wished if REQUEST_ID.fullmatch(wished) else secrets.token_hex(8)
        predicting = scope["path"] == PREDICT and scope["method"] == "POST"
        status = 0

        async def sending(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        metrics.in_flight.inc()
        self.at_work += 1
        try:
            self._check_key(scope, headers)
            if predicting:
                if self.at_work > self.service.settings.max_requests:
                    raise RefusedError(
                        503, "requests", "Too many requests are at work; come again in a moment."
                    )
                found = await _predict(Request(scope, receive), self.service)
                scope["osemn.pictures"] = len(found)
                await _answer(scope, found, self.service.settings.dataset, sending)
            else:
                await self.app(scope, receive, sending)
        except RefusedError as error:
            metrics.refused.labels(error.reason).inc()
            await _refuse(error, request_id)(scope, receive, sending)
        except ClientDisconnect:
            metrics.refused.labels("left").inc()
        except Exception:
            log.exception("failed", extra={"facts": {"request_id": request_id, "path": scope["path"]}})
            if not status:
                response = _refusal(
                    request_id, 500, "failed", "This is a defect of the service; it was logged."
                )
                await response(scope, receive, sending)
        finally:
            metrics.in_flight.dec()
            self.at_work -= 1
            if predicting:
                self._note(scope, status, perf_counter() - started)

    def _check_key(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        key = self.service.key
        if not key or not scope["path"].startswith("/v1/"):
            return
        if not hmac.compare_digest(headers.get(b"x-api-key", b""), key.encode()):
            raise RefusedError(401, "key", "Send the service's key in the header X-API-Key.")

    def _note(self, scope: dict[str, Any], status: int, seconds: float) -> None:
        self.service.metrics.latency.labels(str(status)).observe(seconds)
        if self.service.settings.log_requests:
            facts = {
                "request_id": scope["osemn.id"],
                "status": status,
                "ms": round(1e3 * seconds, 3),
                "pictures": scope.get("osemn.pictures", 0),
            }
            log.info("request", extra={"facts": facts})
