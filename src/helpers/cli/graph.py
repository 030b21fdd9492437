"""The series as a graph: decides which stages are done and which must run, and runs them with Snakemake.

A stage is done if its manifest verifies and its code, parameters and inputs are unchanged. Snakemake sees one marker
file per stage, which is updated whenever the Snakefile is read. So copied, cloned and killed projects resume correctly.
"""

import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from helpers import paths
from helpers.cli import cluster
from helpers.errors import OsemnError, UsageError
from helpers.obtain import sources
from helpers.series import disk, locks, manifests, stages
from helpers.series.resolve import ResolvedStage, resolve

DONE = "done"
REPORT = "report"


@dataclass(frozen=True)
class State:
    """The status of a stage.

    Attributes:
        stage: the stage's name.
        word: "done", "not run", "damaged", "outdated", "by hand" or "waiting".
        reason: why it is not done.
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
    """A user's request to run the series.

    Attributes:
        dataset: a built-in data set, or one's own images: a folder, a table, an archive or an address.
        profile: the profile's name.
        until: the last stage to run; empty for the complete series and the report.
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
        self.source.check(self.options)
        if self.options.labels:
            from helpers.obtain import corrections  # imports pandas, which other runs do not need

            corrections.read(self.options.labels)
        names = {stage.name for stage in self.stages}
        if self.from_stage and not {stage.name for stage in stages.of_notebook(self.from_stage)} <= names:
            raise UsageError(
                f"{self.from_stage} does not come before {self.until}.", "choose --from before --until"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Request":
        """Create a request from Snakemake's `--config`.

        Raises:
            UsageError: a key is unknown, or as for the request itself.
        """
        known = sorted(item.name for item in fields(cls))
        for name in config:
            if name not in known:
                raise UsageError(f"There is no setting '{name}'.", f"use: {', '.join(known)}")
        return cls(**config)

    @cached_property
    def resolved(self) -> dict[str, ResolvedStage]:
        """Every stage with its checked parameters, by name."""
        choice = self.dataset, self.profile, self.overrides
        return {stage.name: resolve(stage.name, *choice) for stage in stages.STAGES}

    @property
    def options(self) -> sources.Options:
        """How 01_acquire reads the data set."""
        return sources.Options.of(self.resolved["01_acquire"].parameters)

    @cached_property
    def source(self) -> sources.Source:
        """Where the data set comes from."""
        return sources.find(self.dataset)

    @cached_property
    def source_fingerprint(self) -> str:
        """The hash of what 01_acquire would read now."""
        return sources.with_corrections(self.source, self.options)

    @cached_property
    def stages(self) -> tuple[stages.Stage, ...]:
        """The stages to run, in order."""
        return stages.until(self.until) if self.until else stages.STAGES

    @cached_property
    def forced(self) -> frozenset[str]:
        """The stages that run even if they are done."""
        again = stages.downstream(self.from_stage) if self.from_stage else ()
        return frozenset(stage.name for stage in again)

    @property
    def folder(self) -> Path:
        """The folder of all of the request's stages."""
        return paths.run_folder(self.dataset, self.profile)

    @property
    def graph_folder(self) -> Path:
        """The folder of Snakemake's own files and the markers."""
        return self.folder / ".graph"

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of a subcommand of `osemn` for this data set and profile."""
        of_request = ["--dataset", self.dataset, "--profile", self.profile]
        return [sys.executable, "-m", "helpers.cli", name, *of_request, *arguments]


def stage_state(request: Request, stage: stages.Stage) -> State:
    """Return whether one stage is done, from its own manifest and those of its inputs."""
    folder = request.folder / stage.name
    locks.recover(folder)
    manifest = manifests.read(folder)
    if manifest is None:
        failed = (folder / manifests.FAILED).is_file()
        return State(stage.name, "not run", "its last run failed: see failed.ipynb" if failed else "")
    damaged = manifests.faults(folder, manifest)
    if damaged:
        return State(stage.name, "damaged", "; ".join(damaged))
    wanted = request.resolved[stage.name].parameters
    if manifest["parameters"] != wanted:
        return State(stage.name, "outdated", _changed_parameters(manifest["parameters"], wanted))
    if manifest["source_sha256"] != manifests.source_sha256(stage.notebook):
        return State(stage.name, "outdated", "its notebook or a helper it uses has changed")
    changed = [name for name, digest in manifest["inputs"].items() if digest != _current_input(request, name)]
    if changed:
        return State(stage.name, "outdated", f"its input has changed: {', '.join(changed)}")
    if manifests.NOTEBOOK not in manifest["outputs"]:
        return State(stage.name, "by hand", "it was run by hand, and the report needs its executed notebook")
    return State(stage.name, DONE)


def _changed_parameters(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name, value in wanted.items() if before.get(name) != value]
    changes = (f"{name} was {before.get(name)!r}, is {wanted[name]!r}" for name in names)
    return f"its parameters have changed: {'; '.join(changes) or 'one was removed'}"


def _current_input(request: Request, name: str) -> str | None:
    if name.startswith("source:"):
        return request.source_fingerprint
    stage, file = stages.split_input(name)
    return manifests.output_sha256(manifests.read(request.folder / stage) if stage else None, file)


def states(request: Request) -> list[State]:
    """Return the state of every stage to run, in order; "waiting" if an earlier stage must run first."""
    by_stage: dict[str, State] = {}
    for stage in request.stages:
        state = stage_state(request, stage)
        if stage.name in request.forced and state.done:
            state = State(stage.name, "outdated", "requested by --from")
        waits_for = [name for name in stage.looks_at if name in by_stage and not by_stage[name].done]
        if state.done and waits_for:
            state = State(stage.name, "waiting", f"on {', '.join(waits_for)}")
        by_stage[stage.name] = state
    return list(by_stage.values())


@dataclass(frozen=True)
class Step:
    """A rule of the graph: a stage, or the report."""

    name: str
    inputs: list[str]
    marker: str
    command: str
    threads: int = 1
    alone: bool = False
    memory_mb: int = 1_000
    dependents: int = 0

    @property
    def priority(self) -> int:
        """Of the stages that are ready, those that train start first, as they take longest; then those with most dependents."""
        return self.dependents + (0 if self.threads else len(stages.STAGES))

    def cores(self, usable: int, *, shared: bool) -> int:
        """Return the number of cores to reserve: what may run beside it, not TensorFlow's threads, on which results depend.

        Args:
            usable: cores of the machine, or of the job.
            shared: whether stages run beside each other there.
        """
        # small networks leave a part of the cores idle: two stages that train together end sooner than in turn
        return self.threads or (math.ceil(usable / 2) if shared and not self.alone else usable)

    @property
    def log(self) -> str:
        """The file for the output of a job on another machine."""
        return str(Path(self.marker).with_suffix(".log"))


def steps(request: Request, *, refresh: bool = True) -> list[Step]:
    """Return the rules of the graph.

    Args:
        request: what to run.
        refresh: whether to update the markers from the manifests first; only one process of a run may do so.
    """
    if refresh:
        _synchronise(request)
    names = {stage.name for stage in request.stages}
    settings = [
        f"--set={name}.{parameter}={json.dumps(value)}"
        for name, values in request.overrides.items()
        for parameter, value in values.items()
    ]
    rules = []
    for position, stage in enumerate(request.stages, start=1):
        again = ["--force"] if stage.name in request.forced else []
        options = [*settings, "--position", f"{position}/{len(names)}", *again]
        command = shlex.join(request.command("stage", *options, stage.name))
        inputs = [_marker(request, name).as_posix() for name in stage.looks_at if name in names]
        marker = _marker(request, stage.name).as_posix()
        # others would take a part of a stage's budget of minutes
        alone = stage.alone or bool(request.resolved[stage.name].parameters.get("minutes"))
        reserved = stage.threads, alone, stage.memory_mb, len(stages.downstream(stage.name))
        rules.append(Step(stage.slug, inputs, marker, command, *reserved))
    if not request.until:
        command = shlex.join(request.command("report", "--quiet"))
        marker = _marker(request, REPORT).as_posix()
        rules.append(Step(REPORT, [rule.marker for rule in rules], marker, command))
    return rules


def _marker(request: Request, name: str) -> Path:
    return request.graph_folder / f"{name.replace('/', '-')}.done"


def _synchronise(request: Request) -> None:
    """Update the markers from the manifests."""
    request.graph_folder.mkdir(parents=True, exist_ok=True)
    done = {state.stage: state.done for state in states(request)}
    if not request.until:
        done[REPORT] = all(done.values()) and report_is_current(request)
    for name, is_done in done.items():
        marker = _marker(request, name)
        if not is_done:
            marker.unlink(missing_ok=True)
        elif not marker.exists():
            marker.touch()
            os.utime(marker, (0, 0))  # older than any marker of a stage that runs from now on


def report_is_current(request: Request) -> bool:
    """Return True if the rendered report shows the finished stages as they are."""
    from helpers.report import render

    return render.is_current(request.dataset, request.profile)


def run(
    request: Request, *, cores: int | None = None, executor: str = cluster.LOCAL, extra: tuple[str, ...] = ()
) -> None:
    """Run the stages that are not done, in parallel where `cores` allow, and render the report.

    Args:
        request: what to run.
        cores: the number of cores for all stages together, or for each of them on a cluster; None for all, or 4.
        executor: a Snakemake executor: "local", or the name of an installed plug-in such as "slurm".
        extra: more arguments for Snakemake, which override those given here.

    Raises:
        UsageError: the executor is not installed, Snakemake does not know an argument, or the output folder has braces.
        OsemnError: a stage failed (the message ends with those of jobs on other machines), the folder cannot be written
            to, or another run of the same data set and profile is in progress.
    """
    cluster.check(executor)
    with _lock_of_run(request):
        paths.claim(request.dataset)
        for stage in request.stages:
            locks.sweep(request.folder / stage.name)
        pending = [state for state in states(request) if not state.done]
        for state in pending:
            if state.word == "damaged":
                print(f"{state.stage} must run again: {state.reason}", flush=True)
        if not pending and (request.until or report_is_current(request)):
            return
        waiting = sum(state.word == "waiting" for state in pending)
        more = f"; {waiting} more if their inputs change" if waiting else ""
        named = paths.dataset_slug(request.dataset)
        print(f"{len(pending) - waiting} of {len(request.stages)} stages of {named} to run{more}", flush=True)
        if not cluster.run_snakemake(request.graph_folder, asdict(request), executor, cores, extra):
            unfinished = [step for step in steps(request, refresh=False) if not Path(step.marker).exists()]
            logs = {step.name: Path(step.log) for step in unfinished if executor != cluster.LOCAL}
            raise OsemnError(
                "\n\n".join(
                    [
                        f"The run of {named} at profile {request.profile} did not complete.",
                        *cluster.last_messages(logs),
                    ]
                ),
                "see the message above; the same command resumes the run",
            )


def _lock_of_run(request: Request) -> AbstractContextManager[FileLock]:
    """Take the lock of this data set and profile, to be released at the end of a `with` block."""
    folder = request.folder
    if {"{", "}"} & set(str(folder)):
        raise UsageError(
            f"The folder {folder} has braces in its name, which Snakemake takes for wildcards.",
            "set OSEMN_OUTPUT_DIR to a folder without them",
        )
    shown = paths.shown(folder)
    busy = OsemnError(f"Another 'osemn run' is in progress in {shown}.", "wait until it has ended")
    with disk.report_write_errors(f"The folder {shown}", "OSEMN_OUTPUT_DIR"):
        folder.mkdir(parents=True, exist_ok=True)
        return disk.locked(folder / ".run.lock", 0, busy)
