"""Bounds of what comes before a request is one: the size of its head, and the time until the head is whole."""

import asyncio
import json
import secrets
from typing import Any

from uvicorn.protocols.http import httptools_impl

MAX_HEAD = 2**16
_TOO_LARGE = f"The request's address and headers are larger than {MAX_HEAD:,} bytes."


class Protocol(httptools_impl.HttpToolsProtocol):
    """uvicorn's HTTP protocol, with bounds.

    Args:
        head_seconds: a connection on which nothing is at work is closed so long after it was opened, or after the next
            head's first byte, unless that head is whole by then.
    """

    def __init__(self, *args: Any, head_seconds: float, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head_seconds = head_seconds
        self._size = 0  # of a head, line by line
        self._read = 0  # since a request or a piece of its body was last heard of
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Take what was sent; a head that it belongs to may have become too large, or may have begun."""
        self._read += len(data)
        super().data_received(data)
        if self._read > MAX_HEAD:  # a single line that has no end, say, of a head or after a body
            self.send_400_response(_TOO_LARGE)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.timeout_keep_alive_task is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Count from here; what came in the same read before it was the end of another request."""
        super().on_message_begin()
        self._read, self._size = 0, 0

    def on_url(self, url: bytes) -> None:
        """Count a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to work on the request."""
        self._read = 0
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, which is bounded elsewhere."""
        self._read = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one whose head is too large (431), and close the connection."""
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

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEAD:
            raise ValueError(_TOO_LARGE)  # the parser stops, and `send_400_response` is called

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._head_seconds, self.timeout_keep_alive_handler)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
