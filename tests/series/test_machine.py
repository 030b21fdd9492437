"""The environment check and the warm-up's points."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import helpers
from helpers.explore import moons
from helpers.series import machine as environment

TOO_EARLY = "import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow')"


def test_report_names_machine_and_packages_and_is_plain_json(tmp_path: Path) -> None:
    facts = environment.inspect(tmp_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert "numpy" in facts["packages"]


def test_this_installation_lacks_no_package() -> None:
    assert environment.check_packages(environment.requirements())[1] == []


def test_missing_and_old_packages_are_said() -> None:
    versions, problems = environment.check_packages(["numpy>=999", "no-such-package-here>=1"])
    assert list(versions) == ["numpy"]
    assert any("numpy>=999" in problem and "is installed" in problem for problem in problems)
    assert any("no-such-package-here>=1 is not installed" in problem for problem in problems)


def test_shortages_name_what_is_small() -> None:
    assert environment.shortages({"cores": 8, "memory_gib": 16.0, "disk_free_gib": 50.0}) == []
    found = environment.shortages({"cores": 1, "memory_gib": 1.5, "disk_free_gib": 50.0})
    assert len(found) == 2
    assert "1 core" in found[0]
    assert "1.5 GiB of memory" in found[1]


def test_container_limits_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1073741824\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    facts = environment.inspect(tmp_path)
    assert facts["memory_gib"] == 1.0
    assert facts["cores"] == 1


def test_no_limit_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    assert environment._memory_limit() == math.inf
    assert environment.usable_cores() >= 1


def test_moons_are_split_stratified_and_repeat_by_seed() -> None:
    first, again, other = moons.make(800, 0.2, 0), moons.make(800, 0.2, 0), moons.make(800, 0.2, 1)
    assert first.train_points.shape == (600, 2)
    assert np.bincount(first.test_labels).tolist() == [100, 100]
    assert np.array_equal(first.train_points, again.train_points)
    assert not np.array_equal(first.train_points, other.train_points)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 1.0, 1.0), (0.2, 0.955, 0.985), (0.4, 0.84, 0.89)])
def test_bayes_rule_does_as_well_as_the_noise_allows(noise: float, low: float, high: float) -> None:
    points = moons.make(8000, noise, 0)
    accuracy = np.mean(moons.best_labels(points.test_points, noise) == points.test_labels)
    assert low <= accuracy <= high


def test_surface_covers_all_points_and_keeps_rows_for_y() -> None:
    points = moons.make(400, 0.1, 0).test_points
    surface = moons.surface(lambda places: places[:, 1], points, steps=20)
    assert surface.x[0] < points[:, 0].min()
    assert surface.y[-1] > points[:, 1].max()
    np.testing.assert_allclose(surface.probability[:, 0], surface.y)


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
