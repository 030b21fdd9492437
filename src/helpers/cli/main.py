"""The command line: `osemn run`, `tune`, `status`, `report`, and what `cli_models` and `cli_inference` add."""

import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from helpers.cli import models, serve
from helpers.errors import OsemnError, UsageError

# Whoever imports nbformat would wait three seconds for a grammar of links in other alphabets, of which notebooks have
# none; jsonschema does without it where it is not installed.
sys.modules.setdefault("rfc3987_syntax", None)

FOLDERS = ("OSEMN_HOME", "OSEMN_OUTPUT_DIR", "OSEMN_CACHE_DIR", "OSEMN_DATA_DIR", "OSEMN_ACCEPTED_DIR")
"""Variables that name folders."""

NO_ROOM = "Make some and run the same command again: what is finished is kept."

app = typer.Typer(
    name="osemn",
    help="Run the OSEMN Vision notebook series, see how far it is, and render its report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(models.app, name="models")
app.add_typer(serve.app)

Dataset = Annotated[
    str,
    typer.Option(
        help="fashion_mnist, mnist, digits, or a folder with one sub-folder of images for each class."
    ),
]
Profile = Annotated[str, typer.Option(help="A file in profiles/: smoke, quick, standard or full.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.PARAMETER=VALUE", help="Override one parameter; repeatable."),
]


@app.command(
    epilog="Example: osemn run --dataset mnist --profile quick --set 04_baseline.cnn_epochs=5. On a cluster: "
    "osemn run --executor slurm --cores 8 -- --default-resources slurm_partition=short runtime=120"
)
def run(
    dataset: Dataset = "fashion_mnist",
    profile: Profile = "quick",
    until: Annotated[str, typer.Option(help="The last stage to run.")] = "",
    from_stage: Annotated[str, typer.Option("--from", help="Run this stage and all after it again.")] = "",
    settings: Settings = None,
    cores: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default="all",
            help="Cores to use; stages that can run side by side do. On a cluster: cores for each stage (4).",
        ),
    ] = None,
    executor: Annotated[
        str, typer.Option(help="Snakemake's executor: local, or an installed plug-in such as slurm.")
    ] = "local",
    snakemake: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- …", show_default=False, help="Arguments for Snakemake itself, after two dashes."
        ),
    ] = None,
) -> None:
    """Run every stage that is not done, in order, and render the report."""
    from helpers.cli import graph

    if snakemake and not snakemake[0].startswith("-"):
        raise UsageError(f"'{snakemake[0]}' is no option.", "stages are named by --until and --from")
    request = _request(dataset, profile, until, from_stage, settings)
    started = time.monotonic()
    graph.run(request, cores=cores, executor=executor, extra=tuple(snakemake or ()))
    _print_end(request, time.monotonic() - started)


@app.command(epilog="Example: osemn status --dataset mnist")
def status(dataset: Dataset = "fashion_mnist", profile: Profile = "quick", settings: Settings = None) -> None:
    """Tell which stages are done, and why the others are not; every file is checked by its hash."""
    from helpers.cli import graph

    request = _request(dataset, profile, "", "", settings)
    found = graph.states(request)
    width = max(len(state.stage) for state in found)
    for state in found:
        typer.echo(f"{state.stage:<{width}} {state.word:<9} {state.reason}".rstrip())
    done = sum(state.done for state in found)
    typer.echo(
        f"{done} of {len(found)} stages done" + ("" if done == len(found) else "; 'osemn run' does the rest")
    )


@app.command(
    epilog="Example: osemn report --dataset mnist; osemn report --accept; osemn report --check, as the last step in CI"
)
def report(
    dataset: Dataset = "fashion_mnist",
    profile: Profile = "quick",
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Keep this run as the one that later ones are compared with; print its file."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Tell what changed since the accepted run; exit with 1 on a significant regression.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option(help="Print nothing.")] = False,
) -> None:
    """Render every executed notebook and the index to HTML that opens offline; print the index's path.

    With --accept or --check nothing is rendered.
    """
    from helpers import paths
    from helpers.cli import datasets
    from helpers.report import render as rendering
    from helpers.series import parameters

    if accept and check:
        raise UsageError(
            "--accept and --check exclude each other.", "check the run first, then accept it in a second call"
        )
    dataset = datasets.known(dataset)
    parameters.load_profile(profile)
    if check:
        _check(dataset, profile, quiet)
        return
    written = (rendering.accept if accept else rendering.render)(dataset, profile)
    if not quiet:
        typer.echo(paths.shown(written))


def _check(dataset: str, profile: str, quiet: bool) -> None:
    """Print what changed since the accepted run; fail on a regression."""
    from helpers.report.regression import changes

    found = changes.check(dataset, profile)
    if not quiet:
        typer.echo("\n".join(found.lines))
    changes.refuse(found, dataset, profile)
    if not quiet:
        typer.echo("No significant regression since the accepted run.")


@app.command(
    epilog="Example: osemn tune --profile standard --set 09_tuning.storage=postgresql://user@host/studies"
)
def tune(dataset: Dataset = "fashion_mnist", profile: Profile = "quick", settings: Settings = None) -> None:
    """Help with the studies of 09_tuning: as many workers as you start share them, and end with the notebook.

    On one machine the studies are files beside the runs; for several, name a database: 09_tuning.storage.
    """
    from helpers.series import parameters, runs

    request = _request(dataset, profile, "", "", settings)
    values = parameters.resolve("09_tuning", request.dataset, profile, request.overrides)
    run = runs.Run.reading("09_tuning", values)
    from helpers.model.tuning import spaces

    of_search = ("trial_samples", "trial_epochs", "widths", "depths", "early_pooling", "batch_size")
    parts = {"cnn": (spaces.cnn_search(run, **{name: values[name] for name in of_search}), values["trials"])}
    if values["head_trials"]:
        parts["head"] = (spaces.head_search(run), values["head_trials"])
    for part, (search, trials) in parts.items():
        spaces.work_on(
            search,
            f"{values['study']}-{part}",
            trials,
            folder=run.studies(),
            storage=values["storage"],
            progress=lambda done, total, note, part=part: _say(
                f"{part}: {done} of {total} trials finished{note and f', {note}'}"
            ),
        )


@app.command(hidden=True)
def stage(
    name: str,
    dataset: Dataset = "fashion_mnist",
    profile: Profile = "quick",
    settings: Settings = None,
    position: Annotated[str, typer.Option(help="k/n, as shown before the stage's name.")] = "1/1",
    force: Annotated[bool, typer.Option(help="Run even if the stage is done.")] = False,
) -> None:
    """Run one stage, as the Snakefile's rules do; its inputs must be done."""
    from helpers.cli import graph
    from helpers.series import execute, processes, stages

    processes.end_with()
    signal.signal(signal.SIGINT, _interrupt_quietly)
    request = _request(dataset, profile, name, "", settings)
    label = f"[{position}] {name}"
    if not force and graph.stage_state(request, stages.find(name)).done:
        _say(f"{label}: unchanged inputs, nothing to do{_so_far()}")
        return
    _say(f"{label}: started{_so_far()}")
    started = time.monotonic()
    execute.execute(name, dataset, profile, request.overrides, label=label)
    _say(f"{label}: done in {execute.clock(time.monotonic() - started)}{_so_far()}")


def _interrupt_quietly(number: int, frame: object) -> None:
    """End a stage as Ctrl+C does, without the tracebacks of a kernel client whose kernel went; the run says what happened."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    raise KeyboardInterrupt


def _say(line: str) -> None:
    """Print a line; on a terminal, in the place of the bar of a stage that runs beside this one."""
    typer.echo(f"\r\x1b[K{line}" if sys.stdout.isatty() else line)


def _request(dataset: str, profile: str, until: str, from_stage: str, settings: list[str] | None):
    from helpers.cli import datasets, graph
    from helpers.series import parameters

    dataset = datasets.project_name(dataset)
    return graph.Request(dataset, profile, until, from_stage, parameters.parse_overrides(settings or []))


def _so_far() -> str:
    from helpers.series import execute

    started = os.environ.get("OSEMN_STARTED")
    return f" ({execute.clock(time.time() - float(started))} so far)" if started else ""


def _print_end(request, seconds: float) -> None:
    from helpers import paths
    from helpers.series import execute

    if request.until:
        typer.echo(f"Done until {request.until} in {execute.clock(seconds)}.")
        return
    index = paths.report_folder(request.dataset, request.profile) / "index.html"
    typer.echo(f"All {len(request.stages)} stages are done ({execute.clock(seconds)}). The report:")
    typer.echo(paths.shown(index))


def fix_folders() -> None:
    """Make the folders that the environment names absolute: jobs and kernels work in folders of their own."""
    for name in FOLDERS:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def main() -> None:
    """Run the command line; errors that a user can act on are shown without a traceback."""
    fix_folders()
    try:
        app()
    except OsemnError as error:
        kind = {2: "Wrong call", 128 + signal.SIGINT: "Stopped"}.get(error.exit_code, "Failed")
        typer.echo(f"{kind}: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        typer.echo(f"Failed: there is no room left on the disk{where}.\n{NO_ROOM}", err=True)
        sys.exit(1)
