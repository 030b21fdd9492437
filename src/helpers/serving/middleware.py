"""The way in: ids, the key, prediction requests without the detour through the router, refusals, counts and logs."""

import hmac
import json
import logging
import re
import secrets
from time import perf_counter
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from helpers.serving import predict_route
from helpers.serving.decode import RefusedError
from helpers.serving.service import Service

PREDICT = "/v1/predict"
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
RETRY_AFTER = "1"
log = logging.getLogger("osemn.serving")


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
                found = await predict_route.predict(Request(scope, receive), self.service)
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
                response = refusal(
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
    return refusal(request_id, error.status, error.reason, error.message, more)


def refusal(
    request_id: str, status: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer that says why there is no other."""
    content = {"request_id": request_id, "error": {"reason": reason, "message": message}}
    return JSONResponse(content, status, headers)
