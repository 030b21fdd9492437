"""What an image's path says about it: its part, its label or its group."""

import re
from collections.abc import Callable, Sequence

from helpers.errors import UsageError
from helpers.obtain.options import Options

# "train", "Training", "val2017", "test_images", "valid set", …; not "train station"
_PART = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<validation>val(?:id(?:ation)?)?|dev)|(?P<test>test(?:ing)?))"
    r"[\W_]*(?:\d*|images?|set|data)",
    re.IGNORECASE,
)
# "images", "HAM10000_images_part_1", …: folders that hold images of any class
_CONTAINER = re.compile(
    r"(?:.*[\W_])?(?:images?|imgs?|photos?|pictures?)(?:[\W_]*part)?[\W_]*\d*", re.IGNORECASE
)


def part(name: str) -> str:
    """Return the part that a folder's name or a table's value stands for: one of `listing.PARTS`, or `""`."""
    match = _PART.fullmatch(name.strip())
    return (match and match.lastgroup) or ""


def is_container(name: str) -> bool:
    """Return True if a folder is named after images in general, and so is not a class."""
    return _CONTAINER.fullmatch(name) is not None


def by_pattern(value: str, parameter: str) -> Callable[[str], str]:
    """Return the function that reads `"pattern:REGEX"`: the first group found in a path, or `""`.

    Raises:
        UsageError: it is not a regular expression with a group.
    """
    pattern = value.removeprefix("pattern:")
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"The pattern '{pattern}' of {parameter} is not a regular expression ({error}).",
            "see https://docs.python.org/3/howto/regex.html",
        ) from None
    if not regex.groups:
        raise UsageError(
            f"The pattern '{pattern}' of {parameter} has no group.",
            f"put parentheses around what to use, for example --set '01_acquire.{parameter}=pattern:^([A-Z])'",
        )

    def read(path: str) -> str:
        match = regex.search(path)
        return (match[1] or "") if match else ""

    return read


def groups(paths: Sequence[str], below_class: Sequence[str], options: Options) -> list[str]:
    """Return the group of each image by `group_by`; `""` for none.

    Sub-folders of the same name in two classes are one group, because they often are the same patient or series.

    Args:
        paths: relative to the data set's folder; a pattern is searched in these.
        below_class: relative to the folder of the image's class; `"folder"` uses these.
        options: `group_by` is used.

    Raises:
        UsageError: the pattern is not one, or no image has a group.
    """
    if options.group_by == "folder":
        values = [path.rpartition("/")[0].rpartition("/")[2] for path in below_class]
    elif options.group_by.startswith("pattern:"):
        values = list(map(by_pattern(options.group_by, "group_by"), paths))
    else:  # none, or "burst", which needs the images' EXIF
        return [""] * len(paths)
    if paths and len(set(values)) < 2:
        state = "all images are in one group" if any(values) else "no image has a group"
        raise UsageError(
            f"With group_by='{options.group_by}' {state}; the first image is {paths[0]}.",
            "use sub-folders of the classes, or a pattern that is found in the paths and differs between groups",
        )
    return values
