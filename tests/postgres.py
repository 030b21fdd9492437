"""A PostgreSQL server for tests, from Debian's package `postgresql`, in a temporary folder."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "osemn", "p@ss/wörd"
QUOTED = "p%40ss%2Fw%C3%B6rd"


def programs() -> Path | None:
    """Return the newest folder with `initdb` and `pg_ctl`, or None."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    if versions:
        return versions[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


def missing() -> str:
    """Return the reason why a server cannot run here; empty if it can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian's package: postgresql)"
    if os.geteuid() == 0 and not (_account() and shutil.which("setpriv")):
        return "PostgreSQL refuses to run as root, and another account or setpriv is missing"
    return ""


def _account() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _call(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, as another user if this one is root."""
    command = [str(programs() / program), *arguments]
    if os.geteuid() == 0:
        account = _account()
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        command = ["setpriv", *ids, *command]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server, and yield the address of its empty database, with user and password."""
    folder = Path(tempfile.mkdtemp(prefix="osemn-postgres-"))
    data, secret, port = folder / "data", folder / "password", free_port()
    try:
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            for path in (folder, secret):
                os.chown(path, _account().pw_uid, _account().pw_gid)
        login = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}"]
        _call("initdb", "-D", str(data), *login, "--encoding=UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        _call("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://{USER}:{QUOTED}@127.0.0.1:{port}/postgres"
        finally:
            _call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
