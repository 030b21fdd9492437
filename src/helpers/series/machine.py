"""What this machine offers, and what of the project's needs is missing."""

import math
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from helpers.series.runs import cpu_name

DISTRIBUTION = "osemn-vision"
TOOLS = ("make", "git", "apt-get", "npm", "conda", "docker")
WANTED = {"cores": 2, "memory_gib": 4.0, "disk_free_gib": 5.0}
_CGROUP = Path("/sys/fs/cgroup")


def inspect(folder: Path) -> dict[str, Any]:
    """Return versions, processor, cores, memory in GiB, free disk in GiB, tools, and what is missing.

    Args:
        folder: the folder on whose disk results are written.
    """
    memory = psutil.virtual_memory()
    limit = _memory_limit()
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_gib": _gib(min(memory.total, limit)),
        "memory_available_gib": _gib(min(memory.available, limit)),
        "disk_free_gib": _gib(shutil.disk_usage(folder).free),
        "tools": {tool: shutil.which(tool) is not None for tool in TOOLS},
    }
    packages, problems = check_packages(requirements())
    return {**facts, "packages": packages, "missing": problems + shortages(facts)}


def usable_cores() -> int:
    """Return how many cores this process may use, after affinity and container limits."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def requirements() -> list[str]:
    """Return what the installed package says it needs, without extras; nothing if it is not installed."""
    try:
        return [line for line in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        return []


def check_packages(needed: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the installed version of each required package, and a sentence for each that does not fit.

    Args:
        needed: requirements such as `"numpy>=2.2"`.
    """
    versions, problems = {}, []
    for requirement in map(Requirement, sorted(needed)):
        try:
            versions[requirement.name] = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(
                f"package {requirement} is not installed: install the project again (pip install -e .)"
            )
            continue
        if not requirement.specifier.contains(versions[requirement.name], prereleases=True):
            problems.append(
                f"package {requirement} is wanted, {versions[requirement.name]} is installed: install the project again (pip install -e .)"
            )
    return versions, problems


def shortages(facts: dict[str, Any]) -> list[str]:
    """Return a sentence for each of cores, memory and free disk that is below what the series wants."""
    words = {
        "cores": ("{:.0f} core", "{:.0f} are better: the series takes longer"),
        "memory_gib": ("{:.1f} GiB of memory", "{:.0f} GiB are better: close other programs"),
        "disk_free_gib": ("{:.1f} GiB of free disk", "{:.0f} GiB are better: free some space"),
    }
    return [
        f"{words[name][0].format(facts[name])}; {words[name][1].format(wanted)}"
        for name, wanted in WANTED.items()
        if facts[name] < wanted
    ]


def _memory_limit() -> float:
    """Return the container's memory limit in bytes, or infinity."""
    try:
        return float((_CGROUP / "memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return math.inf


def _gib(size: float) -> float:
    return round(size / 2**30, 2)
