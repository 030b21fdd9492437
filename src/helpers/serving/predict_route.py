"""Handles a prediction request: reads its options and its body within limits, and predicts at once or in the pool."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from helpers.obtain.images.pictures import ImageOptions
from helpers.serving import decode
from helpers.serving.decode import RefusedError
from helpers.serving.openapi import ImageQuery
from helpers.serving.service import Service
from helpers.serving.settings import Settings

# up to here handing an image to a thread takes longer than decoding it; reading a header can take time in proportion to the file
SMALL_BYTES, SMALL_PIXELS = 65_536, 65_536
LINGER = 4  # times max_body: how much of a body that is too large is read and discarded before the connection is closed
_DEFAULTS = ImageOptions()


async def predict(request: Request, service: Service) -> list[dict[str, Any]]:
    """Return the predictions for a request, and note the version in its scope.

    Raises:
        RefusedError: the request is invalid or too large, or the service is overloaded.
    """
    served = request.scope["osemn.served"] = service.holder.served
    service.pool.demand_room()
    options = _options(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*decode.IMAGE_TYPES, "application/json", "multipart/form-data"):
        accepted = ", ".join(decode.IMAGE_TYPES)
        raise RefusedError(415, "type", f"Send {accepted}, multipart/form-data or application/json.")
    content = await _body(request, service)
    try:
        if kind == "application/json":
            return await service.pool.run(service.predict_arrays, served, content, options)
        if kind == "multipart/form-data":
            files = await _parts(request, content, service.settings)
            return await service.pool.run(service.predict_files, served, files, options)
        if served.quick and len(content) <= SMALL_BYTES and content.startswith(decode.QUICK):
            image = decode.open_image(content, service.settings)
            if image.width * image.height <= SMALL_PIXELS:
                pixels = decode.prepare(image, served.shape, options, served.preparation)
                return await service.predict_together(served, pixels)
        return await service.pool.run(service.predict_file, served, content, options)
    finally:
        service.buffered -= len(content)  # `_body` added it


def _options(request: Request) -> ImageOptions:
    """Return the options in the query; an empty value counts as the default."""
    if not request.scope["query_string"]:
        return _DEFAULTS
    given = {name: value for name, value in request.query_params.items() if value}
    try:
        return ImageOptions(**ImageQuery.model_validate(given).model_dump())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise RefusedError(422, "query", f"{first['loc'][0]}: {first['msg']}.") from None


async def _body(request: Request, service: Service) -> bytes:
    """Return the body, whether or not its length was announced; refuse one that is too large or too slow.

    A body that is too large is read on for a while and discarded, since a sender whose connection is closed early never reads the
    reason. Bytes count as buffered from their arrival until the caller subtracts them.
    """
    settings = service.settings
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() else settings.max_body
    if expected <= settings.max_body and service.buffered + expected > settings.max_buffered:
        raise RefusedError(503, "memory", "Too many bodies are in memory; try again in a moment.")
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
        return b"".join(pieces)
    except BaseException as error:
        service.buffered -= held
        if isinstance(error, TimeoutError):
            late = f"The body did not arrive within {settings.timeout:g} s."
            raise RefusedError(408, "slow", late) from None
        raise


async def _parts(request: Request, content: bytes, settings: Settings) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files of a multipart body."""

    async def stream() -> AsyncIterator[bytes]:
        yield content

    limits = {"max_files": settings.max_images, "max_fields": 0, "max_part_size": settings.max_body}
    try:
        form = await MultiPartParser(request.headers, stream(), **limits).parse()
    except MultiPartException as error:
        status = 413 if "Too many" in error.message else 400
        raise RefusedError(status, "parts", f"{error.message}.") from None
    except Exception as error:  # the parser raises its own exceptions for a body that is not multipart
        reason = f"The body is not valid multipart/form-data: {str(error)[:100]}."
        raise RefusedError(400, "parts", reason) from None
    try:
        files = [(upload.filename or "", await upload.read()) for _, upload in form.multi_items()]
    finally:
        await form.close()
    if not files:
        raise RefusedError(400, "parts", f"Send between 1 and {settings.max_images} files.")
    return files
