"""The series as a graph: which stages are done, which must run, and how Snakemake is told.

Whether a stage is done is decided by content: its manifest verifies, and its code, parameters and inputs
are what they would be today. Snakemake sees that as one marker file a stage, brought up to date whenever
the Snakefile is read; so a copied, cloned or half-killed project never confuses it.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from helpers import paths
from helpers.cli import cluster
from helpers.errors import OsemnError, UsageError
from helpers.obtain import sources
from helpers.series import execute, manifests, parameters, processes, stages

DONE = "done"
REPORT = "report"


@dataclass(frozen=True)
class State:
    """Whether a stage is done.

    Attributes:
        stage: the stage's name.
        word: "done", "not run", "damaged", "outdated", "by hand" or "waiting".
        reason: why it is not done, in words.
    """

    stage: str
    word: str
    reason: str = ""

    @property
    def done(self) -> bool:
        """True if the stage need not run."""
        return self.word == DONE


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        dataset: a built-in data set, or a folder of images.
        profile: the profile's name.
        until: the last stage wanted; empty for the whole series and the report.
        from_stage: a stage that runs again, with all that depend on it, even if done; empty for none.
        overrides: `{stage: {parameter: value}}`.
    """

    dataset: str = "fashion_mnist"
    profile: str = "quick"
    until: str = ""
    from_stage: str = ""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every name and value before anything runs.

        Raises:
            UsageError: a name is unknown, or a value is of the wrong type or out of range.
        """
        parameters.load_profile(self.profile)
        resolved = {
            stage.name: parameters.resolve(stage.name, self.dataset, self.profile, self.overrides)
            for stage in stages.STAGES
        }
        of_source = ("image_size", "color_mode", "test_fraction")
        sources.check(self.dataset, **{name: resolved["01_acquire"][name] for name in of_source})
        wanted = self.stages
        if self.from_stage and not set(stages.of_notebook(self.from_stage)) <= set(wanted):
            raise UsageError(
                f"{self.from_stage} does not come before {self.until}.",
                "choose --from before --until, or leave one out",
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Request":
        """Make a request from Snakemake's `--config` (unknown keys are refused)."""
        known = set(cls.__dataclass_fields__)
        for name in config:
            if name not in known:
                raise UsageError(f"There is no setting '{name}'.", f"use: {', '.join(sorted(known))}")
        return cls(**config)

    def as_config(self) -> dict[str, Any]:
        """Return the request as Snakemake's configuration."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def stages(self) -> tuple[stages.Stage, ...]:
        """The stages wanted, in order."""
        return stages.until(self.until) if self.until else stages.STAGES

    @property
    def forced(self) -> frozenset[str]:
        """The stages that run even if they are done."""
        return (
            frozenset(s.name for s in stages.downstream(self.from_stage)) if self.from_stage else frozenset()
        )

    @property
    def folder(self) -> Path:
        """The folder of all of the request's stages."""
        return paths.run_folder(self.dataset, self.profile)

    @property
    def graph_folder(self) -> Path:
        """Where Snakemake keeps its own files and the markers."""
        return self.folder / ".graph"

    @cached_property
    def command(self) -> list[str]:
        """The command that runs one stage of this request, without the stage's name."""
        command = [
            sys.executable,
            "-m",
            "helpers.cli",
            "stage",
            "--dataset",
            self.dataset,
            "--profile",
            self.profile,
        ]
        for stage, values in self.overrides.items():
            for name, value in values.items():
                command += ["--set", f"{stage}.{name}={json.dumps(value)}"]
        return command


def stage_state(request: Request, stage: stages.Stage) -> State:
    """Return whether one stage is done, by its own manifest and those it read from."""
    folder = request.folder / stage.name
    _recover(folder)
    manifest = manifests.read(folder)
    if manifest is None:
        failed = (folder / execute.FAILED).is_file()
        return State(stage.name, "not run", "its last run failed: see failed.ipynb" if failed else "")
    found = manifests.faults(folder, manifest)
    if found:
        return State(stage.name, "damaged", "; ".join(found))
    wanted = parameters.resolve(stage.name, request.dataset, request.profile, request.overrides)
    if manifest["parameters"] != wanted:
        return State(stage.name, "outdated", _changed_parameters(manifest["parameters"], wanted))
    if manifest["source_sha256"] != manifests.source_sha256(stage.name):
        return State(stage.name, "outdated", "its notebook or a helper it uses has changed")
    changed = [name for name, digest in manifest["inputs"].items() if digest != _current_input(request, name)]
    if changed:
        return State(stage.name, "outdated", f"its input has changed: {', '.join(changed)}")
    if execute.NOTEBOOK not in manifest["outputs"]:
        return State(stage.name, "by hand", "it was run by hand, and the report needs its executed notebook")
    return State(stage.name, DONE)


def _recover(folder: Path) -> None:
    """Undo a publish that was killed, but leave one alone that is under way: whoever publishes holds the lock."""
    if not folder.with_name(f"{folder.name}.old").exists():
        return
    with contextlib.suppress(Timeout), FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
        manifests.recover(folder)


def _changed_parameters(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    changes = [
        f"{name} was {before.get(name)!r}, is {wanted[name]!r}"
        for name in wanted
        if before.get(name) != wanted[name]
    ]
    return f"its parameters have changed: {'; '.join(changes) or 'one is gone'}"


def _current_input(request: Request, name: str) -> str | None:
    if name.startswith("source:"):
        return sources.fingerprint(request.dataset)
    stage, file = stages.split_input(name)
    return manifests.output_sha256(manifests.read(request.folder / stage) if stage else None, file)


def states(request: Request) -> list[State]:
    """Return the state of every wanted stage, in order; "waiting" where an earlier stage must run first."""
    found: dict[str, State] = {}
    for stage in request.stages:
        state = stage_state(request, stage)
        if stage.name in request.forced and state.done:
            state = State(stage.name, "outdated", "asked for by --from")
        waits_for = [name for name in stage.looks_at if name in found and not found[name].done]
        if state.done and waits_for:
            state = State(stage.name, "waiting", f"on {', '.join(waits_for)}")
        found[stage.name] = state
    return list(found.values())


@dataclass(frozen=True)
class Step:
    """One rule of the graph: a stage, or the report; `threads` 0 means all that a job may take."""

    name: str
    inputs: list[str]
    marker: str
    command: str
    threads: int
    memory_mb: int

    @property
    def log(self) -> str:
        """The file for the output of a job on another machine."""
        return str(Path(self.marker).with_suffix(".log"))


def steps(request: Request, *, refresh: bool = True) -> list[Step]:
    """Return the rules of the graph.

    Args:
        request: what to run.
        refresh: whether to bring the markers up to date with the manifests first; for one process of a run only.
    """
    if refresh:
        _synchronise(request, {state.stage: state.done for state in states(request)})
    total = len(request.stages)
    names = {stage.name for stage in request.stages}
    found = []
    for position, stage in enumerate(request.stages, start=1):
        force = ["--force"] if stage.name in request.forced else []
        command = [*request.command, "--position", f"{position}/{total}", *force, stage.name]
        inputs = [_marker(request, name).as_posix() for name in stage.looks_at if name in names]
        marker = _marker(request, stage.name).as_posix()
        found.append(Step(stage.slug, inputs, marker, shlex.join(command), stage.threads, stage.memory_mb))
    if not request.until:
        inputs = [step.marker for step in found]
        of_request = ["--dataset", request.dataset, "--profile", request.profile]
        command = [sys.executable, "-m", "helpers.cli", "report", "--quiet", *of_request]
        marker = _marker(request, REPORT).as_posix()
        found.append(Step(REPORT, inputs, marker, shlex.join(command), 1, 1_000))
    return found


def _marker(request: Request, name: str) -> Path:
    return request.graph_folder / f"{name.replace('/', '-')}.done"


def _synchronise(request: Request, done: Mapping[str, bool]) -> None:
    """Make the markers say what the manifests say."""
    request.graph_folder.mkdir(parents=True, exist_ok=True)
    finished = dict(done)
    if not request.until:
        finished[REPORT] = all(done.values()) and report_is_current(request)
    for name, is_done in finished.items():
        marker = _marker(request, name)
        if not is_done:
            marker.unlink(missing_ok=True)
        elif not marker.exists():
            marker.touch()
            os.utime(marker, (0, 0))


def report_is_current(request: Request) -> bool:
    """Tell whether the rendered report shows the finished stages as they are."""
    from helpers.report import render

    return render.is_current(request.dataset, request.profile)


def run(
    request: Request,
    *,
    cores: int | None = None,
    executor: str = cluster.LOCAL,
    extra: tuple[str, ...] = (),
) -> None:
    """Run what is not done, side by side where `cores` allow, and render the report.

    Args:
        request: what to run.
        cores: how many cores the stages may use together, or each of them on a cluster; None for all, or 4.
        executor: a Snakemake executor: "local", or the name of an installed plug-in such as "slurm".
        extra: further arguments for Snakemake, stronger than those given here.

    Raises:
        UsageError: the executor is not installed, Snakemake does not know an argument, or the output folder has braces.
        OsemnError: a stage failed, another run of the same data set and profile is at work, or its folder cannot be written to.
    """
    cluster.check(executor)
    _refuse_braces(request.folder)
    cores = cores or cluster.default_cores(executor)
    lock = FileLock(request.folder / ".run.lock")
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise OsemnError(
            f"Another 'osemn run' is at work in {paths.shown(request.folder)}.", "wait until it has ended"
        ) from None
    except OSError as error:
        raise OsemnError(
            f"The folder {paths.shown(request.folder)} cannot be made or written to: {(error.strerror or str(error)).lower()}.",
            "set OSEMN_OUTPUT_DIR to a folder that you may write to",
        ) from None
    with lock:
        _sweep(request)
        pending = [state for state in states(request) if not state.done]
        for state in pending:
            if state.word == "damaged":
                print(f"{state.stage} must run again: {state.reason}", flush=True)
        if not pending and (request.until or report_is_current(request)):
            return
        waiting = sum(state.word == "waiting" for state in pending)
        more = f"; {waiting} more if what they wait for comes out different" if waiting else ""
        print(f"{len(pending) - waiting} of {len(request.stages)} stages to run{more}", flush=True)
        _snakemake(request, cores, executor, extra)


def _refuse_braces(folder: Path) -> None:
    if {"{", "}"} & set(str(folder)):
        raise UsageError(
            f"The folder {folder} has braces in its name, which Snakemake takes for wildcards.",
            "set OSEMN_OUTPUT_DIR to a folder without them",
        )


def _sweep(request: Request) -> None:
    """Remove what killed runs left half-written, but not what somebody is at work on.

    A kernel whose executor was killed notices within a second or two, and holds its lock until then.
    """
    for stage in request.stages:
        folder = request.folder / stage.name
        _recover(folder)
        leftovers = (
            folder.with_name(f"{folder.name}.partial"),
            folder.with_name(f".{folder.name}.executing.ipynb"),
        )
        if not any(path.exists() for path in leftovers):
            continue
        with contextlib.suppress(Timeout), FileLock(folder.with_name(f".{folder.name}.lock"), timeout=5):
            shutil.rmtree(leftovers[0], ignore_errors=True)
            leftovers[1].unlink(missing_ok=True)


def _snakemake(request: Request, cores: int, executor: str, extra: tuple[str, ...]) -> None:
    """Run the Snakefile; locks and leftovers of a killed run do not stop it."""
    request.graph_folder.mkdir(parents=True, exist_ok=True)
    configuration = request.graph_folder / "request.json"
    manifests.write_json(configuration, request.as_config())
    os.environ.setdefault("OSEMN_HOME", str(paths.project_root()))
    os.environ["OSEMN_STARTED"] = str(time.time())
    if executor == cluster.LOCAL:
        os.environ[processes.VARIABLE] = processes.token()
    for log in request.graph_folder.glob("*.log"):
        log.unlink()
    if not cluster.run_snakemake(request.graph_folder, configuration, executor, cores, extra):
        problem = f"The run of {paths.dataset_slug(request.dataset)} at profile {request.profile} stopped before its end."
        said = [] if executor == cluster.LOCAL else cluster.last_words(_logs(request))
        raise OsemnError(
            "\n\n".join([problem, *said]),
            "the message above says why; the same command goes on where it stopped",
        )


def _logs(request: Request) -> dict[str, Path]:
    """Return the logs of the steps that are not finished; those of local ones stay empty."""
    found = steps(request, refresh=False)
    return {step.name: Path(step.log) for step in found if not Path(step.marker).exists()}
