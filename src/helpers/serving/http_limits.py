"""Limits the size of HTTP request headers and the time to receive them; uvicorn limits neither with httptools.

A response is written at once, while uvicorn writes its headers first: a system call and a packet more.
"""

import asyncio
import json
import secrets
from typing import Any

from uvicorn.protocols.http import httptools_impl

MAX_HEAD = 2**16  # bytes; four times the default of h11, for long cookies and tokens
_TOO_LARGE = f"The request's URL and headers are larger than {MAX_HEAD:,} bytes."


class _Joined:
    """A transport that holds back the headers of a response until its body, or its end, is written."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or hold the headers back; an interim response ("100 Continue") is written at once."""
        headers = data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1"
        data, self._head = (b"", data) if headers else (self._head + data, b"")
        if data:
            self._transport.write(data)

    def close(self) -> None:
        """Write what is held back, and close."""
        self.write(b"")
        self._transport.close()


class Protocol(httptools_impl.HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits.

    Args:
        head_seconds: time to receive the headers of a request, from the opening of the connection or from the first byte of the
            next request; after that an idle connection is closed.
    """

    def __init__(self, *args: Any, head_seconds: float, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head_seconds = head_seconds
        self._size = 0  # of the headers, once they are complete
        self._read = 0  # bytes since the parser last reported a request or a piece of its body
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self.transport = _Joined(transport)
        self._start_clock()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Parse what was sent; the headers may have become too large, or the next request may have begun."""
        self._read += len(data)
        super().data_received(data)
        if self._read > MAX_HEAD:  # a line without an end, for example
            self.send_400_response(_TOO_LARGE)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.timeout_keep_alive_task is None:
            self._start_clock()

    def on_message_begin(self) -> None:
        """Count from here; earlier bytes of the same read belong to another request."""
        super().on_message_begin()
        self._read, self._size = 0, 0

    def on_headers_complete(self) -> None:
        """Refuse headers that came in one read and are too large; otherwise stop the clock, as the request begins."""
        self._size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._size > MAX_HEAD:
            raise ValueError(_TOO_LARGE)  # the parser stops, and `send_400_response` is called
        self._read = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, which `predict_route` limits."""
        self._read = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Write the headers of a response without a body; begin the next request."""
        self.transport.write(b"")
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse an invalid request, or one whose headers are too large (431), and close the connection."""
        if self.transport.is_closing():
            return
        if max(self._read, self._size) <= MAX_HEAD:
            super().send_400_response(msg)
            return
        refused = {"request_id": secrets.token_hex(8), "error": {"reason": "head", "message": _TOO_LARGE}}
        body = json.dumps(refused).encode()
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(httptools_impl.STATUS_LINE[431] + head.encode() + body)
        self.transport.close()

    def _start_clock(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._head_seconds, self.timeout_keep_alive_handler)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
