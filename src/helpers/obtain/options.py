"""How to read a data set: one object for the parameters of 01_acquire that decide which images are read, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from helpers.obtain.places.download import Network

OWN_TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Options:
    """How to load a data set; all but `test_fraction`, `near_duplicate_distance`, `labels`, `seed` and `network` are for one's own images.

    Attributes:
        image_size: side in pixels to which images are resized; 0 means 64.
        color_mode: `"auto"`, `"grayscale"` or `"rgb"`.
        fit: how an image becomes a square: `"crop"` its centre, `"pad"` it with its border's colour, or `"squash"` it.
        window: the values shown as black and white in images of more than 8 bits: `"auto"`, `"percentiles"`, `"full"`, or
            `"LOW:HIGH"`; see `pixel_window`.
        label_by: where labels of images in folders come from: `"folder"` (the first level), `"path"` (the whole path of
            the sub-folder), or `"pattern:REGEX"` (the first group of a regular expression searched in the relative path).
        group_by: which images belong together: `""`, `"folder"` (the innermost sub-folder below the class), `"burst"`
            (EXIF time and camera), `"pattern:REGEX"`, or `"column:NAME"` of a table.
        image_folder: the folder that a table's file names are relative to, itself relative to the table's; `""` to look.
        file_column: name or number (from 0) of a table's column of file names; `""` for the usual names.
        label_column: the same for labels.
        split_column: the same for parts.
        weight_column: the same for weights.
        label_thresholds: rising limits that make classes of numbers in the label column; empty for labels as they are.
        label_names: names of the classes between the thresholds, one more than these; empty for names made of the limits.
        smallest_class: classes with fewer images than this are left out and listed; 0 to stop instead if a class has too few.
        unpack_gb: the largest size of an unpacked archive or of a download, in GB.
        cache_gb: the most that decoded images may take in the cache, in GB; without room for them, they are decoded when read.
        test_fraction: proportion to hold out for the test where the data set has no test part.
        near_duplicate_distance: largest distance of near duplicates among a built-in set's images; see
            `copies.together_of_arrays`. Copies of files are recognised by `copies`, whatever this value.
        labels: a file with corrections of labels, relative to the project; see `corrections`. Empty for none.
        seed: decides which images are held out.
        network: time limits and progress of downloads.
    """

    image_size: int = 0
    color_mode: str = "auto"
    fit: str = "crop"
    window: str = "auto"
    label_by: str = "folder"
    group_by: str = ""
    image_folder: str = ""
    file_column: str = ""
    label_column: str = ""
    split_column: str = ""
    weight_column: str = ""
    label_thresholds: tuple[float, ...] = ()
    label_names: tuple[str, ...] = ()
    smallest_class: int = 0
    unpack_gb: float = 20.0
    cache_gb: float = 20.0
    test_fraction: float = OWN_TEST_FRACTION
    near_duplicate_distance: float = 0.08
    labels: str = ""
    seed: int = 0
    network: Network = field(default_factory=Network)

    @classmethod
    def of(cls, parameters: Mapping[str, Any], network: Network | None = None) -> "Options":
        """Return the options among the parameters of 01_acquire; lists become tuples.

        Example:
            `sources.Options.of(run.parameters, download.Network(tell=print))`
        """
        names = {item.name for item in fields(cls)} - {"network"}
        given = {name: value for name, value in parameters.items() if name in names}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        return cls(**values, network=network or Network())
