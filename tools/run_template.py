"""Executes notebooks/template.ipynb, which is not a stage, and saves its outputs in it, stamped with their code's hash."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill
from refresh_notebooks import with_outputs

from helpers import paths
from helpers.errors import OsemnError

NAME = "template"


def execute(output: Path, **parameters: object) -> nbformat.NotebookNode:
    """Execute the template and return it; its files are written to `output`.

    Args:
        output: an existing folder for runs and reports.
        **parameters: the values to inject.

    Raises:
        papermill.PapermillExecutionError: a cell failed; the error holds its message.
    """
    before = os.environ.get("OSEMN_OUTPUT_DIR")
    os.environ["OSEMN_OUTPUT_DIR"] = str(output)
    executed = output / f"{NAME}.ipynb"
    try:
        papermill.execute_notebook(
            paths.notebook(NAME), executed, parameters, cwd=paths.notebook(NAME).parent, progress_bar=False
        )
    finally:
        os.environ.pop("OSEMN_OUTPUT_DIR")
        if before is not None:
            os.environ["OSEMN_OUTPUT_DIR"] = before
    return nbformat.read(executed, as_version=4)


def main() -> None:
    """Save the outputs of an execution in the template."""
    source = nbformat.read(paths.notebook(NAME), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(with_outputs(source, execute(Path(folder))), paths.notebook(NAME))
    print(paths.shown(paths.notebook(NAME)))


if __name__ == "__main__":
    try:
        main()
    except (OsemnError, papermill.PapermillExecutionError) as error:
        sys.exit(f"Failed: {error}")
