"""The records of a run: metrics as plain JSON, figures with alt text, package versions and the processor."""

import io
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import OsemnError

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.figure import Figure

CSS_DPI = 96  # CSS pixels per inch
INVISIBLE = 0.25  # levels of 256, on average: plots have less, photographs more
PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")


def plain_json(name: str, value: Any) -> Any:
    """Convert a metric's value to plain JSON types; NumPy numbers and arrays become numbers and lists.

    Raises:
        OsemnError: a number is not finite, or a value has another type.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        raise OsemnError(f"Metric '{name}' is {value}.", "log finite numbers, or None")
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_json(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(name, item) for item in value]
    raise OsemnError(
        f"Metric '{name}' is of type {type(value).__name__}.", "log numbers, text, lists or dictionaries"
    )


def image(figure: "Figure", name: str, alt: str = "") -> "Image":
    """Render a figure as PNG with its alt text, and close it.

    Args:
        figure: the figure.
        name: its name in the error message.
        alt: the alt text; by default the text that `figures.with_alt` attached.

    Raises:
        OsemnError: the figure has no alt text.
    """
    import matplotlib.pyplot as plt
    from IPython.display import Image

    from helpers import figures

    alt = alt or figures.alt_text(figure)
    if not alt.strip():
        raise OsemnError(f"Figure '{name}' has no alt text.", "describe what the figure shows")
    width = int(figure.get_figwidth() * CSS_DPI)
    png = _png(figure, alt)
    plt.close(figure)
    return Image(data=png, format="png", width=width, alt=alt)


def _png(figure: "Figure", alt: str) -> bytes:
    """Return a PNG, with 256 colours where nobody sees the difference, as in most plots: it has less than half the bytes."""
    import matplotlib as mpl
    import PIL.Image
    from PIL import ImageChops, ImageStat
    from PIL.PngImagePlugin import PngInfo

    dpi = 2 * CSS_DPI  # two dots for each CSS pixel: sharp on dense screens, on paper, and enlarged
    stream, info = io.BytesIO(), PngInfo()
    with mpl.rc_context({"savefig.bbox": "standard"}):  # whatever a user set, the size is the figure's
        figure.savefig(stream, format="rgba", dpi=dpi)
    size = tuple(int(inches * dpi) for inches in figure.get_size_inches())
    full = PIL.Image.frombytes("RGBA", size, stream.getvalue()).convert("RGB")
    reduced = full.quantize(256, PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
    changed = ImageStat.Stat(ImageChops.difference(reduced.convert("RGB"), full)).mean
    info.add_itxt("Description", alt)
    stream = io.BytesIO()
    (full if np.mean(changed) > INVISIBLE else reduced).save(stream, "PNG", dpi=(dpi, dpi), pnginfo=info)
    return stream.getvalue()


def installed_version(package: str) -> str:
    """Return the version of a package; "missing" if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def versions() -> dict[str, str]:
    """Return the installed version of each of `PACKAGES`."""
    return {package: installed_version(package) for package in PACKAGES}


# by flag, fastest first: each about halves a time
_INSTRUCTIONS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}


def cpu_name() -> str:
    """Return the processor's name as the system reports it, with its widest instructions where they are known.

    Clouds give processors of very different speed the same name, such as "AMD EPYC": times compare only where both agree.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    widest = [title for flag, title in _INSTRUCTIONS.items() if flag in facts.get("flags", "").split()]
    name = facts.get("model name") or platform.processor() or platform.machine()
    return ", ".join([name, *widest[:1]])


def usable_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its container's limit."""
    import joblib  # takes a tenth of a second, which `osemn status` does not need

    return joblib.cpu_count()


def iso_time(seconds: float) -> str:
    """Format a Unix time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
