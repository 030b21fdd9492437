"""Copies the executed notebooks of the quick Fashion-MNIST run back into notebooks/, stamped with their code's hash.

Run `make notebooks`, which runs the series first.
"""

import hashlib
import sys
from pathlib import Path

import nbformat

from helpers import execute, parameters, paths, pipeline, stages
from helpers.errors import OsemnError


def code_sha256(notebook: nbformat.NotebookNode) -> str:
    """Return the hash of all code cells; it tells whether outputs belong to the code that stands there."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\0\n".join(code).encode()).hexdigest()


def clean(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what changes from run to run and is no result: time stamps and papermill's notes."""
    executed.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "osemn": {"code_sha256": code_sha256(executed)},
    }
    for cell in executed.cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag == "parameters"]
        cell.metadata = {"tags": tags} if tags else {}
    return executed


def refresh(notebook: str, folder: Path) -> Path:
    """Put an executed notebook in the place of its source; of several runs, the one for the default candidate.

    Raises:
        OsemnError: the executed notebook holds other code than the source, or injected parameters.
    """
    candidate = parameters.defaults(notebook).get("candidate", "")
    executed = nbformat.read(folder / notebook / candidate / execute.NOTEBOOK, as_version=4)
    source = nbformat.read(paths.notebook(notebook), as_version=4)
    if code_sha256(executed) != code_sha256(source):
        raise OsemnError(
            f"{notebook}: the executed notebook holds other code than its source.", "run 'make run' again"
        )
    nbformat.write(clean(executed), paths.notebook(notebook))
    return paths.notebook(notebook)


def main() -> None:
    """Refresh every notebook, once all stages are done."""
    request = pipeline.Request("fashion_mnist", "quick")
    unfinished = [state.stage for state in pipeline.states(request) if not state.done]
    if unfinished:
        raise OsemnError(f"Not done: {', '.join(unfinished)}.", "run 'make run' first")
    for notebook in stages.NOTEBOOKS:
        path = refresh(notebook, request.folder)
        print(f"{paths.shown(path)}  {path.stat().st_size / 1e3:,.0f} kB")


if __name__ == "__main__":
    try:
        main()
    except OsemnError as error:
        sys.exit(f"Failed: {error}")
