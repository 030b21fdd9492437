"""Images that stay on disk: arrays to read from, whose pixels come from a cache of decoded images or from the files themselves."""

import hashlib
import io
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain import image_facts
from helpers.obtain.images import formats, image_cache, pictures
from helpers.obtain.layouts import folder_scan
from helpers.series import manifests

_PIECE = 8  # images that a thread decodes at a time: many pieces in a batch, so that no thread waits long for another


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """The files of a part in its order, and how they become pixels.

    Attributes:
        names: paths relative to the root, as bytes with a zero after each, `[B] uint8`.
        sha256: of the files' bytes when they were indexed, `[N, 32] uint8`.
        root: the folder of the files, as `paths.local_path` takes it.
        fit: see `pictures.Preparation`.
        window: see `pictures.Preparation`.
        channels: 1 or 3.
        side: the small side in pixels, for stages that need no detail.
        cache_gb: the most that the cache of decoded images may take on disk, in GB.
    """

    names: np.ndarray
    sha256: np.ndarray
    root: str
    fit: str
    window: str
    channels: int
    side: int
    cache_gb: float

    @classmethod
    def listed(cls, listed: Sequence[str], sha256: Sequence[str], **how: Any) -> "ImageFiles":
        """Return the files with the given paths and hexadecimal hashes; `how` are the other attributes."""
        names = np.frombuffer("".join(f"{name}\0" for name in listed).encode(), np.uint8)
        return cls(names, np.frombuffer(bytes.fromhex("".join(sha256)), np.uint8).reshape(-1, 32), **how)

    @classmethod
    def stored(cls, content: Mapping[str, np.ndarray]) -> "ImageFiles":
        """Return the files that `to_store` described."""
        return cls(content["names"], content["sha256"], **json.loads(str(content["how"])))

    def chosen(self, rows: np.ndarray) -> "ImageFiles":
        """Return the files at some rows, `[M]` integers."""
        names = self.names.tobytes().split(b"\0")
        kept = b"".join(names[row] + b"\0" for row in rows)
        return replace(self, names=np.frombuffer(kept, np.uint8), sha256=self.sha256[rows])

    def to_store(self) -> dict[str, np.ndarray]:
        """Return arrays for an `.npz`."""
        how = {name: value for name, value in asdict(self).items() if name not in ("names", "sha256")}
        return {"names": self.names, "sha256": self.sha256, "how": np.array(json.dumps(how, sort_keys=True))}

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.sha256)

    def key(self, side: int) -> str:
        """Return a hash of all that the pixels of the images depend on."""
        digest = hashlib.sha256(manifests.code_sha256("obtain.images.formats").encode())
        digest.update(json.dumps([side, self.channels, self.fit, self.window]).encode())
        digest.update(self.sha256)
        return digest.hexdigest()

    def decoded(self, rows: np.ndarray, side: int) -> Iterator[np.ndarray]:
        """Yield the images of some rows in pieces, `[M, side, side, C] uint8`, decoded by one thread for each core.

        Raises:
            AcquisitionError: a file is gone, or is not the one that was indexed.
        """
        cores, waiting = joblib.cpu_count(), deque()
        with ThreadPoolExecutor(cores) as pool:
            try:
                for start in range(0, len(rows), _PIECE):
                    waiting.append(pool.submit(self._decoded, rows[start : start + _PIECE], side))
                    if len(waiting) > 3 * cores:  # no further ahead of the reader: they would fill the memory
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    @cached_property
    def _folder(self) -> Path:
        return paths.local_path(self.root)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.concatenate([[-1], np.flatnonzero(self.names == 0)])

    def _decoded(self, rows: np.ndarray, side: int) -> np.ndarray:
        images = np.empty((len(rows), side, side, self.channels), np.uint8)
        for image, row in zip(images, rows, strict=True):
            self._decode(row, image)
        return images

    def _decode(self, row: int, pixels: np.ndarray) -> None:
        name = self.names[self._ends[row] + 1 : self._ends[row + 1]].tobytes().decode()
        path = folder_scan.real_name(self._folder, name)
        try:
            content, _ = image_facts.read(path)
        except (OSError, ValueError) as error:
            raise _changed(name, f"cannot be read ({formats.reason(error, Path(path))})") from None
        if hashlib.sha256(content).digest() != self.sha256[row].tobytes():
            raise _changed(name, "has changed since it was indexed")
        try:
            with formats.opened(io.BytesIO(content)) as image:
                preparation = pictures.Preparation(self.fit, self.window)
                pixels[:] = pictures.prepare(image, *pixels.shape, preparation=preparation)
        except Exception as error:  # Pillow raises almost any exception
            raise _changed(name, f"cannot be decoded ({formats.reason(error, Path(path))})") from None


def _changed(name: str, what: str) -> AcquisitionError:
    return AcquisitionError(
        f"The image {name} {what}.",
        "leave the images as they are while the series runs; to take the changed ones: osemn run --from 01_acquire",
    )


class DiskImages:
    """Images on disk that are read like an array `[N, side, side, C] uint8`, some at a time.

    An index or slice along the first axis gives a NumPy array; `subset` gives further `DiskImages` and reads nothing. What is
    read does not stay in memory.

    Args:
        files: those of a part.
        side: of the images in pixels; None for the small side.
        rows: of the files, `[N]`; None for all.
        cache: the array of the decoded images of all files; None to decode files whenever they are read.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self,
        files: ImageFiles,
        side: int | None = None,
        rows: np.ndarray | None = None,
        cache: Path | None = None,
    ) -> None:
        self.files, self.side, self.cache = files, side or files.side, cache
        self.rows = np.arange(len(files)) if rows is None else rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(N, side, side, C)`."""
        return len(self.rows), self.side, self.side, self.files.channels

    @property
    def content_key(self) -> bytes:
        """A hash of all that the pixels depend on."""
        return hashlib.sha256(self.files.key(self.side).encode() + self.rows.astype("<i8").tobytes()).digest()

    def cached(self) -> "DiskImages":
        """Return the same images, decoded into the cache if there is room for them.

        Raises:
            AcquisitionError: an image has changed since it was indexed, or the cache cannot be written.
        """
        rows = np.arange(len(self.files))
        shape = (len(rows), *self.shape[1:])
        cache = image_cache.made(
            self.files.key(self.side),
            shape,
            self.files.cache_gb,
            lambda first: self.files.decoded(rows[first:], self.side),
        )
        return DiskImages(self.files, self.side, self.rows, cache)

    def subset(self, indices: np.ndarray) -> "DiskImages":
        """Return the images at some indices."""
        return DiskImages(self.files, self.side, self.rows[indices], self.cache)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int | slice | np.ndarray | Sequence[int]) -> np.ndarray:
        """Return one image `[side, side, C]`, or those of a slice, of indices or of a mask."""
        if isinstance(index, tuple) or index is Ellipsis:
            raise TypeError("images from disk have one index, along the first axis: images[rows][..., 0]")
        rows = self.rows[index]
        return self._read(rows) if rows.ndim else self._read(rows[np.newaxis])[0]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        """Refuse to become one array, which may not fit into memory."""
        raise TypeError("images from disk are read in parts: for part in data.chunks(images): images[part]")

    def _read(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        if self.cache:
            with suppress(FileNotFoundError):  # another series needed the room
                image_cache.read(self.cache, len(self.files), rows, images)
                return images
        start = 0
        for piece in self.files.decoded(rows, self.side):
            images[start : start + len(piece)] = piece
            start += len(piece)
        return images
