"""Copies the outputs of the quick Fashion-MNIST run into notebooks/, stamped with the hash of their code.

`make notebooks` runs the series first.
"""

import hashlib
import html
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from helpers import paths
from helpers.cli import graph
from helpers.errors import OsemnError
from helpers.series import manifests, notebook_cells, stages


def run_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells that a run executes."""
    return [
        cell for cell in notebook.cells if cell.cell_type == "code" and not notebook_cells.is_skipped(cell)
    ]


def code_sha256(notebook: nbformat.NotebookNode) -> str:
    """Return the hash of the code that a run executes, to check that outputs belong to the code above them."""
    code = [cell.source for cell in run_cells(notebook)]
    return hashlib.sha256("\n\0\n".join(code).encode()).hexdigest()


def _code(notebook: nbformat.NotebookNode) -> list[object]:
    """Return the code cells as a run compares them: parameters by value, without their comments."""
    return [
        notebook_cells.literals(cell.source, "a notebook")
        if notebook_cells.is_parameters_cell(cell)
        else cell.source
        for cell in run_cells(notebook)
    ]


def with_outputs(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a source notebook with the outputs of its execution.

    Raises:
        ValueError: the executed notebook has other code, or injected parameters.
    """
    if _code(executed) != _code(source):
        raise ValueError("other code")
    for cell in source.cells:
        # time stamps and papermill's records change with each run
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
    for cell, done in zip(run_cells(source), run_cells(executed), strict=True):
        cell.outputs, cell.execution_count = list(_described(done.outputs)), done.execution_count
    source.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "osemn": {"code_sha256": code_sha256(source)},
    }
    return source


def _described(outputs: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """Yield outputs, each picture with its alt text as text and as a folded line below it.

    The alt text in a picture's metadata is not shown by JupyterLab, GitHub and nbconvert, which all show this line; MyST takes the text.
    """
    for output in outputs:
        yield output
        alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        if alt:
            output.data["text/plain"] = alt
            folded = (
                f"<details><summary>What the picture shows, in words</summary>{html.escape(alt)}</details>"
            )
            yield nbformat.v4.new_output("display_data", {"text/html": folded, "text/plain": alt})


def refresh(notebook: str, folder: Path) -> Path:
    """Copy the outputs of an execution into its notebook; for several candidates, those of the champion.

    Raises:
        OsemnError: the executed notebook has other code than the source, or injected parameters.
    """
    candidate = ""
    if "candidate" in notebook_cells.defaults(notebook):
        exported = folder / "10_export" / "metrics.json"
        candidate = json.loads(exported.read_text(encoding="utf-8"))["candidate"]
    executed = nbformat.read(folder / notebook / candidate / manifests.NOTEBOOK, as_version=4)
    source = nbformat.read(paths.notebook(notebook), as_version=4)
    try:
        filled = with_outputs(source, executed)
    except ValueError:
        raise OsemnError(
            f"{notebook}: the executed notebook has other code than its source.", "run 'make run' again"
        ) from None
    nbformat.write(filled, paths.notebook(notebook))
    return paths.notebook(notebook)


def main() -> None:
    """Refresh every notebook, if all stages are done."""
    request = graph.Request("fashion_mnist", "quick")
    unfinished = [state.stage for state in graph.states(request) if not state.done]
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
