import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers.cli import cluster, graph
from helpers.errors import UsageError
from helpers.series import machine, stages

FIRST = ("--until", "01_acquire")


def snakemake(project, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake itself on a project's first two stages, as `osemn run` and jobs on other machines do."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project.root / "Snakefile"), "--nolock"]
    return subprocess.run(
        [*command, *arguments], env=project.environment(), capture_output=True, text=True, check=False
    )


def put_on_path(folder, monkeypatch, **exit_codes: int) -> None:
    """Replace PATH by a folder with only these commands, which print nothing."""
    folder.mkdir()
    for name, code in exit_codes.items():
        (folder / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_plugin_that_is_not_installed_is_a_wrong_call_that_names_the_package(monkeypatch):
    monkeypatch.setattr(cluster, "installed", lambda: ["local"])
    with pytest.raises(UsageError, match=r"'slurm' is not installed here") as wrong:
        cluster.check("slurm")
    assert "pip install --editable '.[slurm]'" in wrong.value.remedy
    with pytest.raises(UsageError, match="pip install snakemake-executor-plugin-lsf"):
        cluster.check("lsf")


def test_misspelt_executor_ends_with_2_before_anything_runs(project):
    done = project.osemn("run", *FIRST, "--executor", "slrum")
    assert done.returncode == 2
    assert "did you mean 'slurm'?" in done.stderr
    assert not (project.root / "runs").exists()


def test_cluster_without_its_commands_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "installed", lambda: ["local", "slurm"])
    put_on_path(tmp_path / "programs", monkeypatch, sinfo=0)
    with pytest.raises(UsageError, match="There is no sbatch on this machine"):
        cluster.check("slurm")
    put_on_path(tmp_path / "more", monkeypatch, sbatch=0)
    cluster.check("slurm")


def test_local_is_always_installed_and_helpers_of_plugins_are_not_offered():
    assert cluster.installed()[0] == "local"
    assert not [name for name in cluster.installed() if "jobstep" in name]
    cluster.check("local")


@pytest.mark.parametrize(
    ("programs", "polled_by_squeue"), [({"sacct": 0}, False), ({"sacct": 1}, True), ({}, True)]
)
def test_slurm_without_accounting_is_asked_by_squeue(programs, polled_by_squeue, monkeypatch, tmp_path):
    put_on_path(tmp_path / "programs", monkeypatch, **programs)
    assert ("squeue" in cluster.arguments("slurm", 4)) == polled_by_squeue
    assert "squeue" not in cluster.arguments("local", 4)


def test_words_that_are_no_options_are_refused_and_unknown_options_end_with_2(project):
    done = project.osemn("run", "01_acquire")
    assert done.returncode == 2
    assert "'01_acquire' is not an option" in done.stderr
    done = project.osemn("run", *FIRST, "--", "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_arguments_after_two_dashes_reach_snakemake(project):
    done = project.osemn("run", *FIRST, "--", "--set-threads", "01_acquire=nonsense")
    assert done.returncode != 0
    assert "nonsense" in done.stderr
    assert not (project.folder("01_acquire") / "manifest.json").exists()


def test_every_rule_carries_the_threads_and_the_memory_of_its_stage(project):
    shown = snakemake(project, "--dry-run", "--cores", "7", "--config", "dataset=digits", "profile=tiny")
    assert shown.returncode == 0, shown.stderr
    rules = {}
    for block in re.split(r"\n(?=(?:local)?rule )", shown.stdout + shown.stderr):
        rule = re.match(r"(?:local)?rule (\S+):", block)
        threads, memory = re.search(r"threads: (\d+)", block), re.search(r"mem_mb=(\d+)", block)
        if rule and memory:
            rules[rule[1]] = (int(threads[1]) if threads else 1, int(memory[1]))
    of_stages = {stage: stage.threads or (7 if stage.alone else 4) for stage in stages.STAGES}
    wanted = {stage.slug: (threads, stage.memory_mb) for stage, threads in of_stages.items()}
    assert {rule: rules.get(rule) for rule in wanted} == wanted
    assert rules["report"] == (1, 1_000)


def test_stages_share_the_memory_and_never_ask_for_more_than_there_is(project, monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: 1.5e9)
    given = cluster.arguments("local", 2)
    limit = given[given.index("--resources") + 1]
    assert limit == "mem_mb=1500"
    options = ("--dry-run", "--cores", "2", "--config", "dataset=digits", "profile=tiny")
    shown = snakemake(project, *options, "--resources", limit)
    assert shown.returncode == 0, shown.stderr
    asked = {int(number) for number in re.findall(r"mem_mb=(\d+)", shown.stdout + shown.stderr)}
    assert asked == {1_000, 1_500}


def test_job_on_another_machine_leaves_the_markers_of_other_stages_alone(project):
    """Run a stage's job as plug-ins do, in a separate Snakemake process, while `--from` also forces its input."""
    assert project.osemn("run", *FIRST).returncode == 0
    request = graph.Request("digits", "tiny", until="02_explore", from_stage="01_acquire")
    marker, log = (request.graph_folder / name for name in ("01_acquire.done", "02_explore.log"))
    unfinished = request.graph_folder / "03_preprocess.done"
    unfinished.touch()
    done = snakemake(
        project,
        *("--directory", str(request.graph_folder), "--cores", "1", "--mode", "remote", "--force"),
        *("--target-jobs", "02_explore:", "--allowed-rules", "02_explore"),
        *("--config", "dataset=digits", "profile=tiny", "until=02_explore", "from_stage=01_acquire"),
    )
    assert done.returncode == 0, done.stderr
    assert project.manifest("02_explore")["stage"] == "02_explore"
    assert marker.exists()
    assert unfinished.exists()
    assert "[2/2] 02_explore: done in" in log.read_text(), (
        "its output is saved for the machine that submitted it"
    )


def test_failed_job_is_reported_by_its_own_words_and_its_log(project):
    folder = project.root / "logs"
    folder.mkdir()
    logs = {name: folder / f"{name}.log" for name in ("02_explore", "03_preprocess", "04_baseline", "report")}
    logs["02_explore"].write_text("[2/9] started\nFailed: an earlier try\nFailed: no images\n  → look\n")
    logs["03_preprocess"].write_text("[3/9] 03_preprocess: started\n")
    logs["04_baseline"].touch()
    assert cluster.last_messages(logs) == [
        "Failed: no images\n  → look\n  → its output: logs/02_explore.log",
        "03_preprocess: its job ended without an error message; it was refused, cancelled, or exceeded its time or memory\n"
        "  → its output: logs/03_preprocess.log",
        "04_baseline: its job ended without an error message; it was refused, cancelled, or exceeded its time or memory",
    ]


def no_cluster() -> str:
    """Return why nothing can be submitted here; empty if it can."""
    if "slurm" not in cluster.installed():
        return "Snakemake's plug-in for SLURM is not installed: pip install --editable '.[slurm]'"
    if not shutil.which("sinfo") or not shutil.which("sbatch"):
        return "there are no commands of SLURM here (sinfo, sbatch)"
    asked = subprocess.run(
        ["sinfo", "--noheader", "--states=idle,mixed"], capture_output=True, text=True, check=False
    )
    return "" if asked.returncode == 0 and asked.stdout.strip() else "no node of a SLURM cluster is free"


@pytest.mark.slow
@pytest.mark.skipif(bool(no_cluster()), reason=no_cluster() or "there is a cluster")
def test_stage_runs_on_slurm(project):
    """On a real cluster, this needs a temporary folder that the nodes share: `--basetemp`."""
    quickly = ("--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5")
    done = project.osemn("run", *FIRST, "--executor", "slurm", "--cores", "1", "--", *quickly, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "SLURM jobid" in done.stderr
    assert project.manifest("01_acquire")["stage"] == "01_acquire"
    assert "OSEMN_PARENT" not in os.environ
