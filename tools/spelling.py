"""Looks for common misspellings in documents, comments, docstrings, messages, and the cells of notebooks.

    python tools/spelling.py [FILE …]

Without names, every file that git knows or would add is read. Settings are under [tool.codespell] in pyproject.toml.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.errors import OsemnError

ROOT = Path(__file__).resolve().parents[1]
CODESPELL = [sys.executable, "-m", "codespell_lib"]


def all_files() -> list[str]:
    """Return the project's files, relative to its root; none outside a git checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def write_cells(notebook: Path, shown: str, folder: Path) -> list[Path]:
    """Write each cell's source as a file of its own, named for messages; outputs hold pictures and are left out."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    written = []
    for number, cell in enumerate(cells):
        path = folder / f"{shown}, cell {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(cell["source"]), encoding="utf-8")
        written.append(path)
    return written


def misspellings(names: list[str]) -> list[str]:
    """Return a line for each misspelling in files named relative to the project's root.

    Raises:
        OsemnError: codespell itself failed.
    """
    if not names:
        return []
    with tempfile.TemporaryDirectory() as folder:
        files: list[str] = [name for name in names if not name.endswith(".ipynb")]
        for name in set(names).difference(files):
            files += map(str, write_cells(ROOT / name, name, Path(folder)))
        done = subprocess.run([*CODESPELL, *files], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.stderr:
            raise OsemnError(
                f"codespell failed: {done.stderr.strip()}.", "see [tool.codespell] in pyproject.toml"
            )
        return sorted(line.removeprefix(f"{folder}/") for line in done.stdout.splitlines())


def main() -> int:
    """Print what is misspelt; return 1 if anything is."""
    names = [Path(name).resolve().relative_to(ROOT).as_posix() for name in sys.argv[1:]] or all_files()
    if not names:
        print("Spelling is not checked: this is no git checkout, so the project's files are not known.")
    found = misspellings(names)
    print("\n".join(found) if found else "No common misspelling was found.")
    return int(bool(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OsemnError as error:
        sys.exit(f"Failed: {error}")
