"""From a prediction request to its answers: what it wishes, its body within bounds, the pool or at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from helpers.obtain import pictures
from helpers.obtain.pictures import ImageOptions
from helpers.serving import decode
from helpers.serving.decode import RefusedError
from helpers.serving.service import Service
from helpers.serving.settings import Settings

# up to here, to hand a picture to a thread costs more than to decode it; its header alone can cost as much as its bytes are many
SMALL_BYTES, SMALL_PIXELS = 65_536, 65_536
LINGER = 4  # times the bound: so much of a body that is too large is thrown away before the connection is cut
_PICTURES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")
_NO_WISHES = ImageOptions()


async def predict(request: Request, service: Service) -> list[dict[str, Any]]:
    """Return the answers to a prediction request, and note the version in its scope.

    Raises:
        RefusedError: it is not answered.
    """
    served = request.scope["osemn.served"] = service.current()
    service.pool.demand_room()
    wishes = _wishes(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*_PICTURES, "application/json", "multipart/form-data"):
        raise RefusedError(
            415, "type", f"Send {', '.join(_PICTURES)}, multipart/form-data or application/json."
        )
    content = await _body(request, service)
    try:
        if kind == "application/json":
            return await service.pool.run(service.predict_arrays, served, content, wishes)
        if kind == "multipart/form-data":
            files = await _parts(request, content, service.settings)
            return await service.pool.run(service.predict_files, served, files, wishes)
        if len(content) > SMALL_BYTES:
            return await service.pool.run(service.predict_file, served, content, wishes)
        picture = decode.opened(content, service.settings)
        if picture.width * picture.height <= SMALL_PIXELS:
            return service.predict_picture(served, picture, wishes)
        return await service.pool.run(service.predict_picture, served, picture, wishes)
    finally:
        service.buffered -= len(content)  # which `_body` has added


def _wishes(request: Request) -> ImageOptions:
    """Return how the query wishes pictures prepared."""
    if not request.scope["query_string"]:
        return _NO_WISHES
    background = request.query_params.get("background", _NO_WISHES.background)
    if background not in pictures.BACKGROUNDS:
        raise RefusedError(422, "query", f"background must be one of: {', '.join(pictures.BACKGROUNDS)}.")
    return ImageOptions(background, _flag(request, "invert"), _flag(request, "frame"))


def _flag(request: Request, name: str) -> bool:
    wish = request.query_params.get(name, "").lower()
    if wish not in ("", *_YES, *_NO):
        raise RefusedError(422, "query", f"{name} must be true or false.")
    return wish in _YES if wish else getattr(_NO_WISHES, name)


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


async def _parts(request: Request, content: bytes, settings: Settings) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files of a multipart body."""

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
        files = [(upload.filename or "", await upload.read()) for _, upload in form.multi_items()]
    finally:
        await form.close()
    if not files:
        raise RefusedError(400, "parts", f"Send between 1 and {settings.max_images} files.")
    return files
