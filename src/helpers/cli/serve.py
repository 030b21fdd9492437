"""`osemn predict`, `osemn serve`, `osemn demo` and `osemn drift`: the champion at work."""

import csv
import math
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.errors import OsemnError, UsageError

app = typer.Typer(pretty_exceptions_enable=False)


def _finite(value: float) -> float:
    """Refuse what is no number or endless, which typer's limits let pass."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of seconds.")
    return value


Dataset = Annotated[str, typer.Option(help="The data set whose champion is meant, as for 'osemn run'.")]


@app.command(epilog="Example: osemn predict shoe.png shirt.jpg · osemn predict --samples 12 --grid out.png")
def predict(
    images: Annotated[list[Path] | None, typer.Argument(help="Picture files.")] = None,
    dataset: Dataset = "fashion_mnist",
    samples: Annotated[int, typer.Option(min=0, help="Also predict so many validation images.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Decides which.")] = 0,
    grid: Annotated[Path | None, typer.Option(help="Draw pictures and answers into this PNG.")] = None,
    background: Annotated[
        Literal["white", "black"], typer.Option(help="What transparency is laid on.")
    ] = "white",
    invert: Annotated[
        bool, typer.Option(help="Let dark and light change places; framed pictures do by themselves.")
    ] = False,
    frame: Annotated[
        bool, typer.Option(help="Cut to the ink, scale and centre as the data set's own pictures were.")
    ] = True,
) -> None:
    """Tell what pictures show, as CSV: file, class, confidence, the next two classes, and the true one where it is known.

    All three confidences are temperature-scaled, and may sum to 1 at most.
    """
    from helpers.cli import datasets
    from helpers.obtain.pictures import ImageOptions
    from helpers.serving import offline

    dataset = datasets.of_registry(dataset)
    if not images and not samples:
        raise UsageError("There is nothing to predict.", "name pictures, or add --samples 12")
    if grid is not None:
        offline.check_grid(grid)
    served = offline.current(dataset)
    if invert and frame and served.framing:
        raise UsageError(
            f"--invert is not for {dataset}: its pictures are framed, and come light on dark by themselves.",
            "leave it out, or add --no-frame",
        )
    found = offline.of_files(served, images or [], ImageOptions(background, invert, frame))
    if samples:
        found += offline.of_samples(served, dataset, samples, seed)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("picture", "class", "confidence", "second", "third", "true_class"))
    for item in found:
        if item.problem:
            typer.echo(f"{item.name}: {item.problem}", err=True)
            continue
        others = [f"{entry['class']} {entry['probability']:.3f}" for entry in item.prediction["top"][1:]]
        row = (item.name, item.prediction["class"], f"{item.prediction['confidence']:.3f}")
        writer.writerow((*row, *others, *[""] * (2 - len(others)), item.true_class))
    if grid is not None:
        offline.grid(found, grid)
        typer.echo(f"Drawn: {grid}", err=True)
    bad = sum(bool(item.problem) for item in found)
    if bad:
        raise OsemnError(f"{bad} of {len(found)} pictures could not be read.", "the lines above say why")


@app.command(epilog="Example: osemn serve --dataset mnist --port 8080 --workers 2")
def serve(
    dataset: Dataset = "fashion_mnist",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes to spread requests over.")] = 1,
    timeout: Annotated[
        float, typer.Option(min=0.1, callback=_finite, help="Seconds after which a request is given up.")
    ] = 5.0,
    drift_every: Annotated[
        float,
        typer.Option(
            min=0.0, callback=_finite, help="Seconds from one drift window to the next, over all workers."
        ),
    ] = 3600.0,
    quiet: Annotated[bool, typer.Option(help="Log no single requests.")] = False,
) -> None:
    """Serve the registry's current version over HTTP; the page at / tries it, /docs describes it.

    A version that is promoted meanwhile is taken over between two requests. With OSEMN_API_KEY set, /v1 wants that key.
    """
    from helpers.cli import datasets
    from helpers.export.registry import Registry
    from helpers.serving.settings import Settings

    dataset = datasets.of_registry(dataset)
    version = Registry(dataset).current()
    settings = Settings(
        dataset=dataset,
        host=host,
        port=port,
        workers=workers,
        timeout=timeout,
        drift_every=drift_every,
        log_requests=not quiet,
    )
    typer.echo(
        f"Serving {version.name} of {dataset} on http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl+C ends)"
    )
    from helpers.series import processes
    from helpers.serving import server

    processes.end_with()
    server.run(settings)


@app.command(epilog="Example: osemn demo --dataset mnist --output digits.html")
def demo(
    dataset: Dataset = "fashion_mnist",
    version: Annotated[str, typer.Option(help="A version of the registry; the current one without it.")] = "",
    output: Annotated[
        Path | None, typer.Option(help="The page; reports/DATASET/try_it.html without it.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="Write files to be served into this folder instead of one page.")
    ] = None,
) -> None:
    """Make a page that tries the champion in the browser: one file, which opens by double click and needs no network."""
    from helpers import paths
    from helpers.cli import datasets
    from helpers.export import browser_page as pages

    dataset = datasets.of_registry(dataset)
    pages.check_target(output, files)
    found = pages.find_version(dataset, version)
    report = paths.report_folder(dataset, found.manifest["profile"])
    if files is not None:
        made = pages.write_folder(found, files, report)
    else:
        page = output or report.parent / pages.NAME
        pages.check_target(page, None)  # without --output it is known only now
        made = pages.write(found, page, report)
    typer.echo(paths.shown(made))


@app.command(epilog="Example: osemn drift pictures/ --check")
def drift(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    dataset: Dataset = "fashion_mnist",
    check: Annotated[bool, typer.Option(help="End with an error where there is drift.")] = False,
) -> None:
    """Tell whether the pictures in a folder are still like those that the champion was checked on; no labels needed."""
    from helpers.cli import datasets
    from helpers.serving import offline

    dataset = datasets.of_registry(dataset)
    finding, bad = offline.folder_drift(offline.current(dataset), folder)
    for item in bad:
        typer.echo(f"{item.name}: {item.problem}", err=True)
    typer.echo(finding.sentence)
    for name, value in sorted(finding.p_values.items(), key=lambda item: item[1]):
        typer.echo(f"  {name}: p = {value:.3g}")
    typer.echo(f"  smallest, corrected: {finding.smallest:.3g}; an alarm below {finding.threshold:.3g}")
    if check and finding.drifted:
        raise OsemnError(finding.sentence, "look at the pictures; then at a labelled sample of them")
