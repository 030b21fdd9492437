"""Find files that name a place on this machine, its user or its name."""

import getpass
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY

SHORTEST = 5  # letters of a user's or a machine's name that compressed data do not hold by chance


def named(output: Path, *folders: Path) -> Iterator[str]:
    """Yield each file below `output` that is not hidden and names a folder, this machine or its user."""
    places = [str(folder) for folder in (*folders, output, REPOSITORY, Path.home()) if folder != Path("/")]
    names = [re.escape(place) for place in places]
    people = (getpass.getuser(), socket.gethostname())
    names += [rf"\b{re.escape(name)}\b" for name in people if len(name) >= SHORTEST and name != "runner"]
    sought = re.compile("|".join(names).encode())
    for file in output.rglob("*"):
        inside = file.relative_to(output)
        if file.is_file() and not any(part.startswith(".") for part in inside.parts):
            match = sought.search(file.read_bytes())
            if match:
                yield f"{inside}: {match[0].decode()}"
