"""Write docs/helpers.md: the helpers that notebooks call, each with a line and an example.

Both are from the docstring; where it has no example, the notebook's own call is one.

    python tools/helpers_page.py

`tests/project/test_helpers_page.py` checks that the page is up to date.
"""

import ast
import re

from house import ROOT, sources

from helpers.series import notebook_cells, stages

PAGE = ROOT / "docs" / "helpers.md"
HEAD = """# Helpers: a cheat sheet

The helpers that notebooks call, each under the first notebook that does. Arguments, shapes and errors are in the docstring: add a question
mark to the name in a notebook, as in `data.load_split?`, or follow the link. The objects that they return have methods of their own.

Written by `python tools/helpers_page.py`.
"""
LONGEST = 120  # characters of an example: about one line of a page
TABLE = "| helper | what it does | example |\n|---|---|---|"


def calls(code: str, files: set[str]) -> dict[tuple[str, str], str]:
    """Return the first call of each function of helpers in code, by its file and name, in the order of the code."""
    tree = ast.parse(code)
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers"):
            folder = "/".join(node.module.split(".")[1:])
            for alias in node.names:
                module = f"{folder}/{alias.name}.py".lstrip("/")
                place = (module, "") if module in files else (f"{folder}.py", alias.name)
                imported[alias.asname or alias.name] = place
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called: dict[tuple[str, str], str] = {}
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        function = node.func
        owner = function.value if isinstance(function, ast.Attribute) else function
        if isinstance(owner, ast.Name) and owner.id in imported:
            file, name = imported[owner.id]
            parts = [name, function.attr] if owner is not function else [name]
            call = ast.unparse(node)
            short = call if len(call) <= LONGEST else f"{ast.unparse(function)}(…)"
            called.setdefault((file, ".".join(filter(None, parts))), short)
    return called


def described(source: str, name: str) -> tuple[str, str]:
    """Return the first line and the example in the docstring of a function, a class or a method."""
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        node = next(child for child in node.body if getattr(child, "name", "") == part)
    text = ast.get_docstring(node) or ""
    example = re.search(r"^Example:\n +(`.+?`)", text, re.MULTILINE | re.DOTALL)
    return " ".join(text.partition("\n\n")[0].split()), re.sub(r"\s+", " ", example[1]) if example else ""


def page() -> str:
    """Return the page as Markdown."""
    files, parts, seen = sources(), [HEAD], set()
    for notebook in stages.NOTEBOOKS:
        code = "\n".join("".join(cell["source"]) for cell in notebook_cells.code_cells(notebook))
        new = {helper: call for helper, call in calls(code, set(files)).items() if helper not in seen}
        seen.update(new)
        rows = []
        for (file, name), call in new.items():
            module = file.rpartition("/")[2].removesuffix(".py")
            shown = name if name[0].isupper() else f"{module}.{name}"
            line, example = described(files[file], name)
            cells = [f"[`{shown}`](../src/helpers/{file})", line, example or f"`{call}`"]
            rows.append(" | ".join(["", *(cell.replace("|", r"\|") for cell in cells), ""]).strip())
        parts.append("\n".join([f"## [{notebook}](../notebooks/{notebook}.ipynb)\n", TABLE, *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
