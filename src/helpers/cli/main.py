"""The command line: `osemn run`, `tune`, `status` and `report`; `models` and `serve` add the other commands."""

import errno
import getpass
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helpers import paths
from helpers.cli import models, serve
from helpers.cli.models import Dataset
from helpers.errors import OsemnError, UsageError

if TYPE_CHECKING:
    from helpers.cli.graph import Request

# jsonschema, which nbformat imports, would take three seconds to build a grammar for links in other alphabets.
sys.modules.setdefault("rfc3987_syntax", None)

FOLDERS = ("OSEMN_HOME", "OSEMN_OUTPUT_DIR", "OSEMN_CACHE_DIR", "OSEMN_DATA_DIR", "OSEMN_ACCEPTED_DIR")
"""Variables that name folders."""

NO_ROOM = "Free some space and run the same command again: finished stages are not repeated."

app = typer.Typer(
    name="osemn",
    help="Run the OSEMN Vision notebook series, show its status, and render its report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(models.app, name="models")
app.add_typer(serve.app)

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
    from_stage: Annotated[str, typer.Option("--from", help="Repeat this stage and its dependents.")] = "",
    settings: Settings = None,
    labels: Annotated[
        str, typer.Option(metavar="FILE", help="Corrections of labels, saved by the report's explorer.")
    ] = "",
    cores: Annotated[
        int | None,
        typer.Option(min=1, show_default="all", help="Cores in total; on a cluster, cores per stage (4)."),
    ] = None,
    executor: Annotated[str, typer.Option(help="local, or an installed Snakemake plug-in.")] = "local",
    snakemake: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- …", show_default=False, help="Snakemake's own arguments."),
    ] = None,
) -> None:
    """Run every stage that is not done, and render the report."""
    from helpers.cli import graph

    if snakemake and not snakemake[0].startswith("-"):
        raise UsageError(f"'{snakemake[0]}' is not an option.", "name stages with --until and --from")
    if labels:
        named = json.dumps(paths.project_path(labels))
        settings = [*(settings or []), f"01_acquire.labels={named}"]
    request = _request(dataset, profile, settings, until, from_stage)
    started = time.monotonic()
    graph.run(request, cores=cores, executor=executor, extra=tuple(snakemake or ()))
    duration = _clock(time.monotonic() - started)
    if until:
        typer.echo(f"Done until {until} in {duration}.")
        return
    typer.echo(f"All {len(request.stages)} stages are done ({duration}). The report:")
    typer.echo(paths.openable(paths.report_folder(request.dataset, profile) / "index.html"))


@app.command(epilog="Example: osemn status --dataset mnist")
def status(dataset: Dataset = "fashion_mnist", profile: Profile = "quick", settings: Settings = None) -> None:
    """Show which stages are done, and why the others are not. Every file is verified by its hash."""
    from helpers.cli import graph
    from helpers.series import locks

    request = _request(dataset, profile, settings)
    states = graph.states(request)
    width = max(len(state.stage) for state in states)
    running = {state.stage for state in states if locks.is_executing(request.folder / state.stage)}
    for state in states:
        words = ("running", "") if state.stage in running else (state.word, state.reason)
        typer.echo(f"{state.stage:<{width}} {words[0]:<9} {words[1]}".rstrip())
    done = sum(state.done for state in states)
    given = [word for setting in settings or [] for word in ("--set", setting)]
    command = shlex.join(["osemn", "run", "--dataset", dataset, "--profile", profile, *given])
    rest = "" if running or done == len(states) else f"; to continue: {command}"
    typer.echo(f"{done} of {len(states)} stages done{rest}")


@app.command(
    epilog="Example: osemn report --dataset mnist; osemn report --accept; osemn report --check, as the last step in CI"
)
def report(
    dataset: Dataset = "fashion_mnist",
    profile: Profile = "quick",
    accept: Annotated[bool, typer.Option("--accept", help="Save this run as the reference.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Show changes since the reference; exit with 1 on a regression.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="Print nothing.")] = False,
) -> None:
    """Render the executed notebooks and their index as HTML. The pages open offline; the index's path is printed.

    With --accept (which prints the file of the reference) or --check nothing is rendered.
    """
    from helpers.report import render as rendering
    from helpers.series import profiles

    if accept and check:
        raise UsageError("--accept and --check exclude each other.", "first check the run, then accept it")
    paths.check_dataset(dataset)
    profiles.load(profile)
    if check:
        _check(dataset, profile, quiet)
        return
    written = (rendering.accept if accept else rendering.render)(dataset, profile)
    if not quiet:
        typer.echo(paths.openable(written))


def _check(dataset: str, profile: str, quiet: bool) -> None:
    """Print the changes since the accepted run; fail on a regression."""
    from helpers.report.regression import changes

    comparison = changes.check(dataset, profile)
    if not quiet:
        typer.echo("\n".join(comparison.lines))
    changes.refuse(comparison, dataset, profile)
    if not quiet:
        typer.echo("No significant regression since the accepted run.")


@app.command(
    epilog="Example: osemn tune --profile standard --set 09_tuning.storage=postgresql://user@host/studies"
)
def tune(dataset: Dataset = "fashion_mnist", profile: Profile = "quick", settings: Settings = None) -> None:
    """Run a worker for the study of 09_tuning. Any number of workers share the trials with the notebook.

    On one machine the study is a file next to the runs; for several machines, name a database: 09_tuning.storage.
    """
    from helpers.series.runs import Run

    resolved = _request(dataset, profile, settings).resolved["09_tuning"]
    os.environ.update(resolved.private)
    values = resolved.parameters
    run = Run.reading("09_tuning", values)  # seeds TensorFlow, so it comes before the next import
    from helpers.model import from_scratch
    from helpers.model.tuning import spaces, study
    from helpers.obtain import data

    split = data.load_split(run)
    wanted = {name: values[name] for name in ("trials", "trial_epochs")}
    budget, _ = from_scratch.budget(split[0], values["from_scratch_images"], **wanted)
    of_search = ("trial_samples", "widths", "depths", "early_pooling", "batch_size")
    settings = {name: values[name] for name in of_search}
    search = spaces.cnn_search(run, split, trial_epochs=budget["trial_epochs"], **settings)
    study.run(
        search.objective,
        search.settings(budget["trials"]),
        f"{values['study']}-cnn",
        folder=run.studies(),
        address=values["storage"],
        progress=lambda done, total, note: _say(f"{done} of {total} trials finished{note and f', {note}'}"),
    )


@app.command(hidden=True)
def stage(
    name: str,
    dataset: Dataset = "fashion_mnist",
    profile: Profile = "quick",
    settings: Settings = None,
    position: Annotated[str, typer.Option(help="k/n, to show before the stage's name.")] = "1/1",
    force: Annotated[bool, typer.Option(help="Run even if the stage is done.")] = False,
) -> None:
    """Run one stage, as the Snakefile's rules do; its inputs must be done."""
    from helpers.cli import graph
    from helpers.series import execute, processes, stages

    processes.end_with()
    signal.signal(signal.SIGINT, _interrupt_quietly)
    request = _request(dataset, profile, settings, until=name)
    label = f"[{position}] {name}"
    if not force and graph.stage_state(request, stages.find(name)).done:
        _say(f"{label}: unchanged inputs, nothing to do{_so_far()}")
        return
    _say(f"{label}: started{_so_far()}")
    started = time.monotonic()
    execute.execute(name, dataset, profile, request.overrides, label=label)
    _say(f"{label}: done in {_clock(time.monotonic() - started)}{_so_far()}")


def _interrupt_quietly(number: int, frame: object) -> None:
    """End a stage as Ctrl+C does, but hide the tracebacks of a client whose kernel has gone."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    raise KeyboardInterrupt


def _say(line: str) -> None:
    """Print a line; on a terminal, over the progress bar of a stage that runs at the same time."""
    typer.echo(f"\r\x1b[K{line}" if sys.stdout.isatty() else line)


def _request(
    dataset: str, profile: str, settings: list[str] | None, until: str = "", from_stage: str = ""
) -> "Request":
    from helpers.cli.graph import Request
    from helpers.series import profiles

    return Request(dataset, profile, until, from_stage, profiles.parse_overrides(settings or []))


def _clock(seconds: float) -> str:
    """Format seconds as `m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _so_far() -> str:
    started = os.environ.get("OSEMN_STARTED")
    return f" ({_clock(max(0.0, time.time() - float(started)))} so far)" if started else ""


def name_user() -> None:
    """Name a user and a home where the system has none, as for many users of containers: libraries ask for their names."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # which of them depends on Python's version
        os.environ["USER"] = str(os.getuid())
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"  # as Debian calls it


def fix_folders() -> None:
    """Make the folders in environment variables absolute, as jobs and kernels run in other working directories."""
    for name in FOLDERS:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def main() -> None:
    """Run the command line; show errors that a user can act on without a traceback."""
    name_user()
    fix_folders()
    os.environ["MPLBACKEND"] = "agg"  # figures become files
    for stream in (sys.stdout, sys.stderr):  # a name need not be valid in the terminal's encoding, or in any
        stream.reconfigure(errors="backslashreplace")
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
        typer.echo(f"Failed: there is no space left on the disk{where}.\n{NO_ROOM}", err=True)
        sys.exit(1)
