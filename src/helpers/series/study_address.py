"""The address of a study's database: used as it was given, and written down without user, server and folder."""

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from helpers.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

EXAMPLE = "postgresql://user@host:5432/database"
VARIABLE = "OSEMN_STUDY_ADDRESS"
"""Names the address to a kernel, whose notebook is stored and holds only what `recorded` returns."""


def parse(address: str) -> "URL":
    """Parse the address of a database; PostgreSQL without a driver gets psycopg 3, which is installed.

    Raises:
        UsageError: it is not such an address. The message does not repeat it, as it may contain a password.
    """
    from sqlalchemy.engine import make_url  # takes half a second, and most runs name no database
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise UsageError(
            "storage is neither empty nor the address of a database.",
            f"Leave it empty for a journal file, or give an address such as {EXAMPLE} (write @ : / as %40 %3A %2F).",
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def recorded(address: str) -> str:
    """Return an address as manifests and notebooks hold it: the kind and the name of the database.

    Raises:
        UsageError: it contains a password, which everybody on the machine could read in the list of processes; or it is
            not an address.

    Example:
        `recorded("postgresql://user@host:5432/studies")` is `"postgresql:///studies"`.
    """
    if not address:
        return ""
    url = parse(address)
    if url.password is not None or any(re.search("passw", name) for name in url.query):
        raise UsageError(
            "storage contains a password, which others could read in the list of processes.",
            "remove it from the address and put it into ~/.pgpass or the variable PGPASSWORD",
        )
    return f"{address.partition('://')[0]}:///{PurePath(url.database or '').name}"


def given(address: str) -> str:
    """Return the address that a user gave for the one that is written down."""
    complete = os.environ.get(VARIABLE, "")
    return complete if address and complete and recorded(complete) == address else address
