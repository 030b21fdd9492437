"""The middleware: request ids, the key, the direct way to predictions, refusals, counts and logs."""

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
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)  # what is safe to log and to send back
_JSON = (b"content-type", b"application/json")
_CLOSE = {"Connection": "close"}  # the rest of the body is not read
_RETRY = {"Retry-After": "1"}  # seconds
_HEADERS = {401: {"WWW-Authenticate": "ApiKey"}, 408: _CLOSE, 413: _CLOSE, 503: _RETRY}
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
log = logging.getLogger("osemn.serving")


class Front:
    """Gives each request an id, checks the key, predicts, counts and logs; plain ASGI, for speed."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service, self.in_flight = app, service, 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Respond to one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, metrics, headers = perf_counter(), self.service.metrics, dict(scope["headers"])
        proposed = headers.get(b"x-request-id", b"").decode("latin-1")
        scope["osemn.id"] = request_id = proposed if REQUEST_ID.fullmatch(proposed) else secrets.token_hex(8)
        predicting = scope["path"] == PREDICT and scope["method"] == "POST"
        status = 0

        async def send_with_id(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        metrics.in_flight.inc()
        self.in_flight += 1
        try:
            self._check_key(scope, headers)
            if predicting:
                body = await self._predict(scope, receive)
                length = (b"content-length", str(len(body)).encode())
                start = {"type": "http.response.start", "status": 200, "headers": [_JSON, length]}
                await send_with_id(start)
                await send({"type": "http.response.body", "body": body})
            else:
                await self.app(scope, receive, send_with_id)
        except RefusedError as error:
            metrics.refused.labels(error.reason).inc()
            more = _HEADERS.get(error.status)
            response = refusal(request_id, error.status, error.reason, error.message, more)
            await response(scope, receive, send_with_id)
        except ClientDisconnect:
            metrics.refused.labels("left").inc()
        except Exception:
            log.exception("failed", extra={"facts": {"request_id": request_id, "path": scope["path"]}})
            if not status:
                response = refusal(request_id, 500, "failed", "This is a bug in the service; it was logged.")
                await response(scope, receive, send_with_id)
        finally:
            metrics.in_flight.dec()
            self.in_flight -= 1
            if predicting:
                self._note(scope, status, perf_counter() - started)

    def _check_key(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        key = self.service.key.encode()
        if not key or not scope["path"].startswith("/v1/"):
            return
        if not hmac.compare_digest(headers.get(b"x-api-key", b""), key):
            raise RefusedError(401, "key", "Send the service's key in the header X-API-Key.")

    async def _predict(self, scope: dict[str, Any], receive: Any) -> bytes:
        """Return the body of the response with the predictions for a request.

        Raises:
            RefusedError: the request is refused.
        """
        if self.in_flight > self.service.settings.max_requests:
            raise RefusedError(503, "requests", "Too many requests are in progress; try again in a moment.")
        predictions = await predict_route.predict(Request(scope, receive), self.service)
        scope["osemn.pictures"] = len(predictions)
        model = {"dataset": self.service.settings.dataset, "version": scope["osemn.served"].version.name}
        content = {"request_id": scope["osemn.id"], "model": model, "predictions": predictions}
        return _encode(content).encode()

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


def refusal(
    request_id: str, status: int, reason: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return a response that says why a request was refused."""
    content = {"request_id": request_id, "error": {"reason": reason, "message": message}}
    return JSONResponse(content, status, headers)
