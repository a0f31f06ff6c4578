"""Run a notebook in the current folder, without Jupyter; ``--write`` keeps outputs.

    python scripts/notebook.py --write /path/to/docs/night-to-light-curve.ipynb

A cell's output is the text of its last expression, as Jupyter shows it.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["run_code", "run_notebook"]


def run_code(source: str, names: dict[str, Any]) -> str | None:
    """Run the source of a cell; return its last expression as text, if it is one."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102 - our own documentation
    if last is None:
        return None
    value = eval(ast.unparse(last), names)  # noqa: S307 - as above
    return None if value is None else repr(value)


def run_notebook(path: Path) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Run the cells of a notebook in turn; yield each with its output."""
    names: dict[str, Any] = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield cell, run_code("".join(cell["source"]), names)


def _write(path: Path) -> None:
    content = json.loads(path.read_text())
    told = {cell["id"]: output for cell, output in run_notebook(path)}
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        text = told[cell["id"]]
        cell["execution_count"] = number
        cell["outputs"] = (
            []
            if text is None
            else [
                {
                    "output_type": "execute_result",
                    "execution_count": number,
                    "metadata": {},
                    "data": {"text/plain": text.splitlines(keepends=True)},
                }
            ]
        )
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        _write(Path(sys.argv[2]))
    else:
        for _, output in run_notebook(Path(sys.argv[1])):
            print(output)
