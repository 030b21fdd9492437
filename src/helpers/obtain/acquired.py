"""What a source gives: a data set with its index and data card, and the class that every kind of source implements."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from helpers.errors import UsageError
from helpers.obtain.options import Options

if TYPE_CHECKING:  # pandas takes half a second, which `osemn status` does not need
    import pandas as pd

    from helpers.obtain import data


@dataclass(frozen=True)
class Acquired:
    """A data set with its data card.

    Attributes:
        train: the images for training and validation.
        test: the images for the final test; they belong in `test.npz` and nowhere else.
        index: a row for each image; see `helpers.obtain.index`.
        skipped: a row for each file that was left out, with the reason.
        card: content and origin, as plain JSON types.
    """

    train: "data.Dataset"
    test: "data.Dataset"
    index: "pd.DataFrame"
    skipped: "pd.DataFrame"
    card: dict[str, Any]


class Source(ABC):
    """A data set in one kind of source.

    Attributes:
        fixed: the options that do not apply to this kind.
        dataset: the data set's name or path, as a user types it.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset

    def check(self, options: Options) -> None:
        """Check what can be known before anything is fetched or read; an option that would do nothing is an error.

        Raises:
            UsageError: an option does not apply, or the source cannot be read.
        """
        for name in self.fixed:
            value, default = getattr(options, name), getattr(Options(), name)
            if value != default:
                raise UsageError(
                    f"The built-in data set '{self.dataset}' comes with its own size, colours and parts: "
                    f"{name} = {value!r} cannot apply to it.",
                    f"leave {name} at {default!r}, or name a folder of images as the data set",
                )

    @abstractmethod
    def fingerprint(self, options: Options) -> str:
        """Return a hash that changes when what `load` would read changes; quick, as unchanged images are not opened."""

    @abstractmethod
    def load(self, options: Options) -> Acquired:
        """Return the data set, verified.

        Raises:
            AcquisitionError: it is unavailable or damaged; the message says what to do.
        """
