"""Saves a rendered report in reports/sample/, small enough to be committed: its images become WebP.

    .venv/bin/python tools/keep_sample.py [--dataset fashion_mnist] [--profile standard]

Run `osemn run --profile standard` first.
"""

import argparse
import base64
import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

from helpers import paths
from helpers.cli import graph
from helpers.errors import OsemnError
from helpers.export import browser_page
from helpers.report.render import RECORD

LIMIT = 6_000_000  # bytes, of all files together
DEMO_LIMIT = 2_000_000  # bytes of the page that holds the champion itself; a larger one is left out
# fraction of the width, WebP quality, colours of the lossless copy: tried in this order until all pages fit
SETTINGS = ((1.0, 80, 256), (1.0, 60, 64), (0.8, 60, 64), (0.7, 50, 32), (0.5, 40, 32))
_TRY = re.compile(r'<a class="try" href="[^"]*">[^<]*</a>[^.]*\.')
_IMAGE = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def smaller(page: str, setting: tuple[float, int, int]) -> str:
    """Return a page with its images as WebP wherever that is smaller.

    Args:
        page: HTML with embedded images.
        setting: one of `SETTINGS`.
    """

    def encoded(image: re.Match) -> str:
        text = base64.b64encode(_webp(base64.b64decode(image[1]), *setting)).decode("ascii")
        return f"data:image/webp;base64,{text}" if len(text) < len(image[1]) else image[0]

    return _IMAGE.sub(encoded, page)


def _webp(content: bytes, scale: float, quality: int, colours: int) -> bytes:
    """Return the smaller of two copies on white: a lossy one, and a lossless one with few colours."""
    with Image.open(io.BytesIO(content)) as opened:
        drawn = opened.convert("RGBA")
    image = Image.new("RGB", drawn.size, "white")
    image.paste(drawn, mask=drawn.getchannel("A"))
    image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    lossy, lossless = io.BytesIO(), io.BytesIO()
    image.save(lossy, "WEBP", quality=quality)
    few = image.quantize(colours, dither=Image.Dither.NONE).convert("RGB")
    few.save(lossless, "WEBP", lossless=True)
    return min(lossy.getvalue(), lossless.getvalue(), key=len)


def without_demo(page: str) -> str:
    """Return the first page with a sentence instead of its link to the demo page."""
    return _TRY.sub(
        "The demo page contains the model itself and is too large for this sample: <code>osemn run</code> writes it with the "
        "report, <code>osemn demo</code> by itself.",
        page,
    )


def keep(report: Path, sample: Path) -> int:
    """Replace the sample by a report with smaller images; return its size in bytes.

    Raises:
        OsemnError: it would be larger than `LIMIT`; the earlier sample stays.
    """
    partial = sample.with_name(f"{sample.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # the record holds the hashes of the larger pages
    shutil.copytree(report, partial, ignore=shutil.ignore_patterns(RECORD))
    too_large = (report / browser_page.NAME).is_file() and (
        report / browser_page.NAME
    ).stat().st_size > DEMO_LIMIT
    for setting in SETTINGS:
        for page in sorted(report.rglob("*.html")):
            text = smaller(page.read_text(encoding="utf-8"), setting)
            text = without_demo(text) if too_large else text
            (partial / page.relative_to(report)).write_text(text, encoding="utf-8")
        if too_large:
            (partial / browser_page.NAME).unlink(missing_ok=True)
        size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
        if size <= LIMIT:
            shutil.rmtree(sample, ignore_errors=True)
            partial.rename(sample)
            return size
    shutil.rmtree(partial)
    raise OsemnError(
        f"The sample would take {size / 1e6:.1f} MB; the limit is {LIMIT / 1e6:.0f} MB.",
        "show fewer images in the notebooks",
    )


def main() -> None:
    """Save the report of a finished run as the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--profile", default="standard")
    given = parser.parse_args()
    if not graph.report_is_current(graph.Request(given.dataset, given.profile)):
        sys.exit(f"The report of {given.dataset} at {given.profile} is not finished: run 'osemn run' first.")
    sample = paths.project_root() / "reports" / "sample"
    try:
        size = keep(paths.report_folder(given.dataset, given.profile), sample)
    except OsemnError as error:
        sys.exit(str(error))
    print(f"{paths.shown(sample)}  {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
