"""`osemn predict`, `osemn serve`, `osemn demo` and `osemn drift`: use the champion."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers import paths
from helpers.cli.models import Dataset, check_dataset
from helpers.errors import OsemnError, UsageError

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(epilog="Example: osemn predict shoe.png shirt.jpg · osemn predict --samples 12 --grid out.png")
def predict(
    images: Annotated[list[Path] | None, typer.Argument(help="Image files.")] = None,
    dataset: Dataset = "fashion_mnist",
    samples: Annotated[int, typer.Option(min=0, help="Number of validation images to predict as well.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed for choosing them.")] = 0,
    grid: Annotated[Path | None, typer.Option(help="Draw images and predictions into this PNG.")] = None,
    background: Annotated[Literal["white", "black"], typer.Option(help="Behind transparency.")] = "white",
    invert: Annotated[bool, typer.Option(help="Invert colours; framed images need no option.")] = False,
    frame: Annotated[bool, typer.Option(help="Crop, scale and centre as in the data set.")] = True,
) -> None:
    """Classify images and print CSV. Columns: file, class, confidence, the next two classes, the true class, and unknown.

    All three confidences are temperature-scaled probabilities; `unknown` is yes if the image seems to show none of the classes.
    """
    from helpers.obtain.images.pictures import ImageOptions
    from helpers.serving import offline

    check_dataset(dataset)
    if not images and not samples:
        raise UsageError("There is nothing to predict.", "name image files, or add --samples 12")
    if grid is not None:
        offline.check_grid(grid)
    served = offline.current(dataset)
    if invert and frame and served.preparation.framing:
        raise UsageError(
            f"--invert does not apply to {dataset}: its images are framed, which makes them light on dark.",
            "leave it out, or add --no-frame",
        )
    predictions = offline.of_files(served, images or [], ImageOptions(background, invert, frame))
    if samples:
        predictions += offline.of_samples(served, dataset, samples, seed)
    typer.echo(_csv_line(("file", "class", "confidence", "second", "third", "true_class", "unknown")))
    for item in predictions:
        if item.problem:
            typer.echo(f"{item.name}: {item.problem}", err=True)
            continue
        others = [f"{entry['class']} {entry['probability']:.3f}" for entry in item.prediction["top"][1:]]
        unknown = {True: "yes", False: "no", None: ""}[item.prediction["unknown"]]
        row = (item.name, item.prediction["class"], f"{item.prediction['confidence']:.3f}")
        typer.echo(_csv_line((*row, *others, *[""] * (2 - len(others)), item.true_class, unknown)))
    if grid is not None:
        offline.grid(predictions, grid)
        typer.echo(f"Drawn: {grid}", err=True)
    bad = sum(bool(item.problem) for item in predictions)
    if bad:
        raise OsemnError(f"{bad} of {len(predictions)} images could not be read.", "see the lines above")


def _csv_line(row: Iterable[str | None]) -> str:
    """Return values as a line of CSV, without its end; a carriage return in a name is quoted only where lines end with one."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(row)
    return stream.getvalue().removesuffix("\r\n")


@app.command(epilog="Example: osemn serve --dataset mnist --port 8080 --workers 2")
def serve(
    dataset: Dataset = "fashion_mnist",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Number of processes.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, max=1e9, help="Seconds per request.")] = 5.0,
    drift_every: Annotated[
        float, typer.Option(min=0.0, max=1e9, help="Seconds between drift tests, over all workers.")
    ] = 3600.0,
    quiet: Annotated[bool, typer.Option(help="Do not log requests.")] = False,
) -> None:
    """Serve the registry's current version over HTTP. A demo page is at /, the API's documentation at /docs.

    A newly promoted version is loaded between two requests. If OSEMN_API_KEY is set, /v1 requires that key.
    """
    from helpers.export.registry import Registry
    from helpers.serving.settings import Settings

    check_dataset(dataset)
    version = Registry(dataset).current()
    settings = Settings(
        dataset=paths.recorded_dataset(dataset),  # no path of this machine in a response
        host=host,
        port=port,
        workers=workers,
        timeout=timeout,
        drift_every=drift_every,
        log_requests=not quiet,
    )
    address = f"[{host}]" if ":" in host else host
    typer.echo(f"Serving {version.name} of {dataset} on http://{address}:{port} (Ctrl+C ends)")
    from helpers.series import processes
    from helpers.serving import server

    processes.end_with()
    server.run(settings)


@app.command(epilog="Example: osemn demo --dataset mnist --output digits.html")
def demo(
    dataset: Dataset = "fashion_mnist",
    version: Annotated[str, typer.Option(help="A version of the registry; by default the current one.")] = "",
    output: Annotated[Path | None, typer.Option(help="By default reports/DATASET/try_it.html.")] = None,
    files: Annotated[Path | None, typer.Option(help="A folder for a web server, not one page.")] = None,
) -> None:
    """Write a page that runs the champion in the browser. It is one file, which opens by double click, without a network."""
    from helpers.export import browser_page as pages

    check_dataset(dataset)
    pages.check_target(output, files)
    shown = pages.find_version(dataset, version)
    report = paths.report_folder(dataset, shown.manifest["profile"])
    if files is not None:
        made = pages.write_folder(shown, files, report)
    else:
        page = output or report.parent / pages.NAME
        pages.check_target(page, None)  # the default depends on the version
        made = pages.write(shown, page, report)
    typer.echo(paths.openable(made))


@app.command(epilog="Example: osemn drift pictures/ --check")
def drift(
    folder: Annotated[Path, typer.Argument(help="A folder of images.")],
    dataset: Dataset = "fashion_mnist",
    check: Annotated[bool, typer.Option(help="Exit with an error if there is drift.")] = False,
) -> None:
    """Test whether the images in a folder have drifted, without labels. The champion was checked on those they are compared with."""
    from helpers.serving import offline

    check_dataset(dataset)
    finding, unknown, bad = offline.folder_drift(offline.current(dataset), folder)
    for item in bad:
        typer.echo(f"{item.name}: {item.problem}", err=True)
    typer.echo(finding.sentence)
    for name, value in sorted(finding.p_values.items(), key=lambda item: item[1]):
        typer.echo(f"  {name}: p = {value:.3g}")
    typer.echo(f"  smallest, corrected: {finding.smallest:.3g}; alarm below {finding.threshold:.3g}")
    if unknown is not None:
        typer.echo(f"  images that seem to show none of the classes: {unknown:.0%}")
    if check and finding.drifted:
        raise OsemnError(finding.sentence, "inspect the images, then evaluate the model on a labelled sample")
