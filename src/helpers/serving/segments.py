"""Counts the parts of a PNG or JPEG file before Pillow reads it: each costs time, and a small file can hold very many."""

import re

CHUNKS = 10_000  # of a PNG; of 5 MiB in the usual pieces of 8 KiB there are 640
SEGMENTS = 1_000  # of a JPEG; of 5 MiB in segments of the full length there are 80
SCANS = 100  # of a JPEG; a progressive one has about ten, and each goes over all pixels again
FILLING = 10_000  # bytes between the segments of a JPEG's header, which Pillow skips one by one

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # restarts, `d0` to `d7`, belong to the pixels
# of all others libjpeg reads no length, or stops there
_WITH_LENGTH = frozenset(b"\xfe") | set(range(0xC0, 0xF0)) - {0xC8, *range(0xD0, 0xDA)}
_SCAN, _END = 0xDA, 0xD9


def check(content: bytes) -> None:
    """Check that a file has no more parts than pictures have.

    Args:
        content: the file's bytes; of what is no PNG or JPEG nothing is checked.

    Raises:
        ValueError: it has; the message says which and what to do.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(content)
    elif content.startswith(b"\xff\xd8\xff"):
        _check_jpeg(content)


def _check_png(content: bytes) -> None:
    place = 8
    for _ in range(CHUNKS):
        if place >= len(content) or content[place + 4 : place + 8] == b"IEND":
            return
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    raise _too_many(CHUNKS, "chunks")


def _check_jpeg(content: bytes) -> None:
    """Go from marker to marker as libjpeg does; what lies within a segment, as a small picture of it, is passed over."""
    place, scans, filling = 2, 0, 0
    for _ in range(SEGMENTS):
        marker = _MARKER.search(content, place)
        if not scans:
            filling += (marker.start() if marker else len(content)) - place
            if filling > FILLING:
                raise _too_many(FILLING, "bytes between its segments")
        if marker is None:
            return
        kind, place = marker[1][0], marker.end()
        if kind == _END and scans:
            return
        if kind in _WITH_LENGTH:
            place += max(2, int.from_bytes(content[place : place + 2], "big"))
        scans += kind == _SCAN
        if scans > SCANS:
            raise _too_many(SCANS, "scans")
    raise _too_many(SEGMENTS, "segments")


def _too_many(most: int, parts: str) -> ValueError:
    return ValueError(f"The picture has more than {most:,} {parts}; save it anew in a usual form.")
