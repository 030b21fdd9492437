"""Measure the package and the notebooks: lines of code by room, longest files and functions, text before code.

    python tools/house.py

Lines of code are lines with a token; blank lines, comments and docstrings are not counted. The limits are those of
`tests/project/test_house.py`.
"""

import ast
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "helpers"
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def docstring_lines(tree: ast.AST) -> set[int]:
    """Return the line numbers of all docstrings."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def code_lines(source: str) -> int:
    """Return the number of lines of code, without blanks, comments and docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(source)))


def functions(source: str) -> list[tuple[int, str]]:
    """Return the length of each function in lines, docstring included, and its name."""
    return [
        ((node.end_lineno or node.lineno) - node.lineno + 1, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def lonely_cells(notebook: Path) -> tuple[int, int]:
    """Return the number of code cells without a text cell right before them, and the number of all code cells."""
    kinds = [cell["cell_type"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    code = [index for index, kind in enumerate(kinds) if kind == "code"]
    return sum(index == 0 or kinds[index - 1] != "markdown" for index in code), len(code)


def _strings(statement: ast.stmt) -> Iterator[str]:
    """Return the constant text of each string in a statement."""
    for node in ast.walk(statement):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def sentence_lines(notebook: Path) -> int:
    """Return the number of lines in a notebook's code that belong to statements with a string of three words or more.

    The parameters cell is left out.
    """
    total = 0
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code" or "parameters" in cell["metadata"].get("tags", []):
            continue
        source = re.sub(r"^(?=[%!])", "#", "".join(cell["source"]), flags=re.MULTILINE)
        lines: set[int] = set()
        for node in ast.walk(ast.parse(source)):
            simple = isinstance(node, ast.stmt) and not hasattr(node, "body")
            if simple and any(len(words.split()) > 2 for words in _strings(node)):
                lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        total += len(lines)
    return total


def words(notebook: Path) -> int:
    """Return the number of words in a notebook's text cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(len("".join(cell["source"]).split()) for cell in cells if cell["cell_type"] == "markdown")


def sources() -> dict[str, str]:
    """Return the source of each Python file of the package, by its path in the package."""
    return {
        file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(PACKAGE.rglob("*.py"))
    }


def entries() -> list[str]:
    """Return the names of the files and folders at the top of the package."""
    return sorted(entry.name for entry in PACKAGE.iterdir() if entry.name != "__pycache__")


def notebooks() -> list[Path]:
    """Return the notebooks of the series."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def main() -> None:
    """Print the measures."""
    files = sources()
    rooms: Counter[str] = Counter()
    for file, source in files.items():
        rooms[file.partition("/")[0] if "/" in file else "the ground"] += code_lines(source)
    for room, lines in rooms.most_common():
        print(f"{lines:7,}  {room}")
    print(f"{rooms.total():7,}  lines of code in {len(files)} files; {len(entries())} entries at the top")
    longest = sorted(((len(source.splitlines()), file) for file, source in files.items()), reverse=True)
    print("longest files:", ", ".join(f"{file} {lines}" for lines, file in longest[:5]))
    spans = sorted(
        ((lines, f"{file}:{name}") for file, source in files.items() for lines, name in functions(source)),
        reverse=True,
    )
    print("longest functions:", ", ".join(f"{name} {lines}" for lines, name in spans[:5]))
    cells = {notebook.stem: lonely_cells(notebook) for notebook in notebooks()}
    lonely, total = (sum(counts) for counts in zip(*cells.values(), strict=True))
    print(f"code cells without a text cell before them: {lonely} of {total}")
    print(", ".join(f"{name} {alone}/{every}" for name, (alone, every) in cells.items()))
    sentences = {notebook.stem: sentence_lines(notebook) for notebook in notebooks()}
    print(f"lines of notebook code that build sentences: {sum(sentences.values())}")
    print(", ".join(f"{name} {lines}" for name, lines in sentences.items()))
    print("words of text:", ", ".join(f"{notebook.stem} {words(notebook)}" for notebook in notebooks()))


if __name__ == "__main__":
    main()
