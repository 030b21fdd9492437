"""From a request's body to pixels, within bounds; what is refused is refused before it costs much."""

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from helpers.obtain import pictures
from helpers.obtain.framing import BlankError, Framing
from helpers.obtain.pictures import ImageOptions
from helpers.serving import segments
from helpers.serving.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

# Pillow's remarks on large pictures and odd files; sizes are checked here
warnings.filterwarnings("ignore", module="PIL")

FORMATS = ("PNG", "JPEG", "WEBP")
_LONGEST_NAME = 100
TOGETHER = 4  # times the bound of one picture: so many pixels the files of a request have at most


class RefusedError(Exception):
    """A request that is not answered with a prediction.

    Args:
        status: of the HTTP answer.
        reason: a short name, for counting.
        message: what was wrong and what is expected.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def opened(content: bytes, settings: Settings) -> "Image.Image":
    """Open a PNG, JPEG or WebP file; format and size are read from its header, and nothing is decoded.

    Takes milliseconds; for a file of many parts tenths of a second, so large ones are opened off the event loop.

    Args:
        content: the file's bytes.
        settings: the bounds.

    Raises:
        RefusedError: it is empty, no such file, too large, or of too many parts.
    """
    from PIL import Image

    if not content:
        raise RefusedError(400, "empty", "The body is empty; send a PNG, JPEG or WebP picture.")
    try:
        segments.check(content)
    except ValueError as error:
        raise RefusedError(422, "segments", str(error)) from None
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise RefusedError(415, "format", "This is no PNG, JPEG or WebP picture.") from None
    except Image.DecompressionBombError:
        raise _too_large(settings) from None
    except Exception as error:  # Pillow's readers raise almost anything on damaged headers
        raise RefusedError(422, "damaged", f"The picture's header is damaged: {_brief(error)}.") from None
    if max(image.size) > settings.max_side or image.width * image.height > settings.max_pixels:
        raise _too_large(settings)
    return image


@contextlib.contextmanager
def of_file(number: int, name: str) -> Iterator[None]:
    """Let a refusal within say which of several files it is about; `name` is the sender's."""
    try:
        yield
    except RefusedError as error:
        which = f"File {number} ({name[:_LONGEST_NAME]})" if name else f"File {number}"
        raise RefusedError(error.status, error.reason, f"{which}: {error.message}") from None


def together(images: Iterable["Image.Image"], settings: Settings) -> None:
    """Check that opened pictures, which are taken one after the other, are not too large together.

    Raises:
        RefusedError: they are.
    """
    most = TOGETHER * settings.max_pixels
    pixels = 0
    for image in images:
        pixels += image.width * image.height
        if pixels > most:
            raise RefusedError(
                413,
                "pixels",
                f"The files have more than {most:,} pixels together; send them in several requests.",
            )


def prepared(
    image: "Image.Image",
    shape: tuple[int, int, int],
    wishes: ImageOptions | None = None,
    framed: Framing | None = None,
) -> np.ndarray:
    """Decode an opened picture and return it as `uint8 [H, W, C]`, prepared as for training.

    Args:
        image: from `opened`.
        shape: `(H, W, C)` of the model.
        wishes: as for `pictures.prepare`.
        framed: as for `pictures.prepare`.

    Raises:
        RefusedError: it is damaged, or blank where it is to be framed.
    """
    try:
        return pictures.prepare(image, *shape, wishes, framed)
    except BlankError as error:
        raise RefusedError(422, "blank", f"The picture is blank: {error}.") from None
    except Exception as error:  # as above, for damaged pixels
        raise RefusedError(422, "damaged", f"The picture is damaged: {_brief(error)}.") from None


def _too_large(settings: Settings) -> RefusedError:
    return RefusedError(
        413,
        "pixels",
        f"The picture is larger than {settings.max_side:,} pixels a side or {settings.max_pixels:,} in all.",
    )


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".")[:100]


def arrays(content: bytes, shape: tuple[int, int, int], settings: Settings) -> np.ndarray:
    """Return the pixels of a JSON body `{"images": […]}`, `float32 [N, H, W, C]`.

    Args:
        content: the body: images `[H, W]` or `[H, W, C]` of numbers from 0 to 255.
        shape: `(H, W, C)` of the model.
        settings: the bounds.

    Raises:
        RefusedError: it is no such JSON.
    """
    try:
        body = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else _brief(error)
        raise RefusedError(400, "json", f"The body is no JSON: {reason}.") from None
    if not isinstance(body, dict) or set(body) != {"images"} or not isinstance(body["images"], list):
        raise RefusedError(422, "json", 'The body must be {"images": [image, …]} and nothing more.')
    count = len(body["images"])
    if not 1 <= count <= settings.max_images:
        raise RefusedError(
            422, "count", f"There are {count} images; between 1 and {settings.max_images} are allowed."
        )
    values = _numbers(body["images"], (count, *shape))
    if values is None:
        height, width, channels = shape
        wanted = f"[{height}, {width}]" if channels == 1 else f"[{height}, {width}, {channels}]"
        raise RefusedError(422, "shape", f"Each image must be {wanted} numbers.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise RefusedError(422, "range", "Pixels must be numbers from 0 to 255.")
    return values.astype(np.float32)


def _numbers(images: list[Any], shape: tuple[int, int, int, int]) -> np.ndarray | None:
    """Return nested lists as `float64 [N, H, W, C]`; None where they are of another shape or hold other than numbers.

    All is checked before it becomes an array: NumPy makes room for the longest text in every place. Grey ones may be `[N, H, W]`.
    """
    for sizes in (shape[:3], shape) if shape[3] == 1 else (shape,):
        found = _flat(images, sizes)
        if found is not None:
            try:
                return np.array(found, np.float64).reshape(shape)
            except OverflowError:  # a whole number of hundreds of digits
                return None
    return None


def _flat(nested: list[Any], sizes: tuple[int, ...]) -> list[int | float] | None:
    """Return the numbers of nested lists of the given sizes in order; None where they are anything else."""
    level = [nested]
    for size in sizes:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = list(chain.from_iterable(level))
    return level if {int, float}.issuperset(map(type, level)) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
