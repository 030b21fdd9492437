"""The inspection of the machine, and what is set up when helpers is imported."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import helpers
from helpers.series import machine, records

TOO_EARLY = "import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')"


def test_report_names_machine_and_packages_and_is_plain_json(tmp_path: Path) -> None:
    facts = machine.inspect(tmp_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert "numpy" in facts["packages"]


def test_this_installation_lacks_no_package() -> None:
    assert machine.check_packages(machine.requirements())[1] == []


def test_missing_and_old_packages_are_reported() -> None:
    versions, (missing, old) = machine.check_packages(["numpy>=999", "no-such-package-here>=1"])
    assert versions["no-such-package-here"] == "missing"
    assert "no-such-package-here>=1 is required (installed: missing)" in missing
    assert f"numpy>=999 is required (installed: {versions['numpy']})" in old


def test_shortages_name_what_is_small() -> None:
    assert machine.shortages({"cores": 8, "memory_gib": 16.0, "disk_free_gib": 50.0}) == []
    cores, memory = machine.shortages({"cores": 1, "memory_gib": 1.5, "disk_free_gib": 50.0})
    assert cores.startswith("1 core")
    assert "1.5 GiB of memory" in memory


@pytest.mark.parametrize(("content", "limit"), [("1073741824\n", 2.0**30), ("max\n", math.inf)])
def test_memory_limit_of_a_container_is_honoured(tmp_path, monkeypatch, content, limit) -> None:
    (tmp_path / "memory.max").write_text(content)
    monkeypatch.setattr(machine, "_MEMORY_LIMIT", tmp_path / "memory.max")
    assert machine._memory_limit() == limit
    assert machine.inspect(tmp_path)["memory_gib"] <= limit / 2**30


def test_onnx_runtime_keeps_no_record_of_its_use(tmp_path):
    code = "import helpers, onnxruntime; onnxruntime.get_available_providers()"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.parametrize(
    ("first", "asked", "warned"), [("", None, False), (TOO_EARLY, None, True), (TOO_EARLY, "0", False)]
)
def test_tensorflow_imported_before_helpers_is_warned_of(first, asked, warned) -> None:
    environ = {name: value for name, value in os.environ.items() if name != helpers.ONEDNN}
    if asked is not None:
        environ[helpers.ONEDNN] = asked
    code = f"{first}\nimport helpers, os; print(os.environ[helpers.ONEDNN])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (asked or "1")
    assert ("Import helpers first" in done.stderr) == warned


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores_are_those_that_the_process_may_use() -> None:
    """A run in a container or under a scheduler must not start work for all cores of the host."""
    told = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from helpers.cli import cluster\nfrom helpers.series import records\n"
        "options = cluster.arguments('local', None)\n"
        "print(records.usable_cores(), options[options.index('--cores') + 1])"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("flags", "name"),
    [("sse avx2 avx512f", "AMD EPYC, AVX-512"), ("sse avx2", "AMD EPYC, AVX2"), ("sse", "AMD EPYC")],
)
def test_processors_of_one_name_differ_by_their_instructions(flags, name, monkeypatch):
    text = f"processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: {flags}\n"
    monkeypatch.setattr(records.Path, "read_text", lambda *_, **__: text)
    assert records.cpu_name() == name
