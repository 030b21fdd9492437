"""Inspects the machine: what it offers, and what the project lacks on it."""

import math
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from helpers.series.records import cpu_name, installed_version, usable_cores

DISTRIBUTION = "osemn-vision"
TOOLS = ("make", "git", "apt-get", "npm", "conda", "docker")
# Recommended minimum, with its unit and what to do about less.
WANTED = {
    "cores": (2, "core(s)", "the series takes longer"),
    "memory_gib": (4.0, "GiB of memory", "close other programs"),
    "disk_free_gib": (5.0, "GiB of free disk", "free some space"),
}
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


def inspect(folder: Path) -> dict[str, Any]:
    """Return versions, processor, cores, memory in GiB, free disk in GiB, tools, and what is missing.

    Args:
        folder: a folder on the disk that results are written to.

    Example:
        `facts = machine.inspect(run.partial)`
    """
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_gib": _gib(memory()),
        "memory_available_gib": _gib(min(psutil.virtual_memory().available, _memory_limit())),
        "disk_free_gib": _gib(shutil.disk_usage(folder).free),
        "tools": {tool: shutil.which(tool) is not None for tool in TOOLS},
    }
    packages, problems = check_packages(requirements())
    return {**facts, "packages": packages, "missing": problems + shortages(facts)}


def requirements() -> list[str]:
    """Return the requirements of the installed package, without extras; none if it is not installed."""
    try:
        return [line for line in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        return []


def check_packages(needed: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the installed version of each required package ("missing" without one), and a message for each misfit.

    Args:
        needed: requirements such as `"numpy>=2.2"`.
    """
    wanted = {item.name: item for item in map(Requirement, sorted(needed))}
    versions = {name: installed_version(name) for name in wanted}
    problems = [
        f"package {item} is required (installed: {versions[name]}): install the project again (pip install -e .)"
        for name, item in wanted.items()
        if versions[name] == "missing" or not item.specifier.contains(versions[name], prereleases=True)
    ]
    return versions, problems


def shortages(facts: dict[str, Any]) -> list[str]:
    """Return a message for each of cores, memory and free disk that is below what the series needs."""
    return [
        f"{facts[name]:.3g} {unit}; {wanted:g} or more are better: {advice}"
        for name, (wanted, unit, advice) in WANTED.items()
        if facts[name] < wanted
    ]


def memory() -> float:
    """Return the bytes of memory of this machine, or of its container."""
    return min(psutil.virtual_memory().total, _memory_limit())


def _memory_limit() -> float:
    """Return the container's memory limit in bytes, or infinity."""
    try:
        return float(_MEMORY_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return math.inf


def _gib(size: float) -> float:
    return round(size / 2**30, 2)
