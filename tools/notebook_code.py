"""Gives tests and benchmarks the functions that a notebook defines, so that a network which it teaches exists only once."""

import ast
from typing import Any

from helpers.series import notebook_cells


def functions(notebook: str, **values: Any) -> dict[str, Any]:
    """Return a notebook's functions by name, in a namespace of their own with its imports. No other code of it runs.

    Args:
        notebook: its name.
        **values: the notebook's variables that its functions read.

    Example:
        `dense = notebook_code.functions("04_baseline")["dense_network"]((28, 28, 1), 10)`
    """
    statements = ast.parse("\n".join("".join(cell["source"]) for cell in notebook_cells.code_cells(notebook)))
    wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    statements.body = [statement for statement in statements.body if isinstance(statement, wanted)]
    exec(compile(statements, notebook, "exec"), values)
    return values
