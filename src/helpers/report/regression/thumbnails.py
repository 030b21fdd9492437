"""Small copies of figures, to be kept beside an accepted run and shown beside the figures of a later one."""

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from helpers.errors import OsemnError

Key = tuple[str, str]  # stage and file
# width in pixels and WebP quality, tried in this order until all copies fit
SETTINGS = ((700, 70), (700, 50), (520, 50), (380, 40), (260, 30))


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of a figure.

    Attributes:
        content: a WebP file.
        alt: what the figure shows, from the file's own description.
        width: in pixels.
        height: in pixels.
    """

    content: bytes
    alt: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def data(self) -> str:
        """The file as base64, for a page that holds it."""
        return base64.b64encode(self.content).decode()


def shrink(png: bytes, where: str, setting: tuple[int, int] = SETTINGS[0]) -> Thumbnail:
    """Return a small copy of a PNG file.

    Args:
        png: the file.
        where: what to call it in errors.
        setting: greatest width in pixels, and WebP quality.

    Raises:
        OsemnError: the file is no picture, or does not say what it shows.
    """
    greatest, quality = setting
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            alt = opened.text.get("Description", "").strip()
            image = Image.new("RGB", opened.size, "white")
            drawn = opened.convert("RGBA")
            image.paste(drawn, mask=drawn.getchannel("A"))
    except OSError:
        raise OsemnError(f"{where} is no PNG picture.", "run the stage that draws it again") from None
    if not alt:
        raise OsemnError(f"{where} has no description.", "save it by run.show(figure, name, alt=…)")
    width = min(greatest, image.width)
    height = max(1, round(image.height * width / image.width))
    stream = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS).save(stream, "WEBP", quality=quality)
    return Thumbnail(stream.getvalue(), alt, width, height)


def fit(figures: Mapping[Key, tuple[bytes, str]], budget: int, *, spare: int = 0) -> dict[Key, Thumbnail]:
    """Return small copies of figures that together stay within a budget.

    Args:
        figures: PNG file and what to call it in errors, by stage and name.
        budget: bytes. Copies become smaller and coarser to meet it; if that is not enough, the largest are left out.
        spare: bytes that each copy takes beside its content and its description, for what is written about it.

    Raises:
        OsemnError: a file is no picture, or does not say what it shows.
    """
    found: dict[Key, Thumbnail] = {}
    for setting in SETTINGS:
        found = {key: shrink(png, where, setting) for key, (png, where) in figures.items()}
        if _size(found, spare) <= budget:
            break
    while found and _size(found, spare) > budget:
        del found[max(found, key=lambda key: len(found[key].content))]
    return found


def _size(found: Mapping[Key, Thumbnail], spare: int) -> int:
    return sum(len(one.content) + len(one.alt.encode()) + spare for one in found.values())
