"""Write the generated parts of the documentation: commands, tables, the notebook.

`docs/conf.py` calls it before Sphinx reads the pages; nothing of it is kept in the
repository, so nothing can be out of date.
"""

import ast
import importlib
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from archive_assets.metadata.migrations import versions
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.tables.layout import Layout

__all__ = ["ROOT", "commands", "l1_tables", "notebook", "vsmd_tables", "write_all"]

ROOT = Path(__file__).resolve().parents[1]
_CREATED = re.compile(
    r"CREATE TABLE (\w+) \((.*)\)( INHERITS \(visitseq\))?\s*$", re.DOTALL
)
_COLUMN = re.compile(r"([a-z_0-9]+) ([A-Z]+(?: PRECISION)?)")


def commands() -> str:
    """Return the help of every command of the wheel, as MyST."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return "\n".join(
        line for name in sorted(scripts) for line in _helped(_of(scripts[name]), name)
    )


def _of(place: str) -> click.Command:
    module, _, function = place.partition(":")
    found: click.Command = getattr(importlib.import_module(module), function)
    return found


def _helped(command: click.Command, name: str, depth: int = 2) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=88)
    yield f"{'#' * min(depth, 3)} {name}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _helped(found, f"{name} {inner}", depth + 1)


def l1_tables() -> str:
    """Return the tables and columns of the L1 database, as MyST."""
    config = L1dbConfig(url="sqlite://", dia_object_index=ObjectIndex.LAST_OBJECT_TABLE)
    schema = load_schema(config.schema_file, column_map=config.column_map)
    ours = [
        table
        for table in Layout.of(schema, config).tables
        if table.name not in {one.name for one in schema.tables}
    ]
    return "\n".join(
        line for table in (*schema.tables, *ours) for line in _table(table)
    )


def _table(table: Table) -> Iterator[str]:
    yield f"## {table.name}\n"
    yield "| column | type | unit | NULL | meaning |\n| --- | --- | --- | --- | --- |"
    for column in table.columns:
        unit = column.unit or "-"
        null = "yes" if column.nullable else "no"
        meaning = column.description.replace("|", "\\|")
        kind = column.datatype.value
        yield f"| `{column.name}` | {kind} | {unit} | {null} | {meaning} |"
    yield ""


def vsmd_tables() -> str:
    """Return the tables and columns of the archive's metadata, as MyST."""
    lines = []
    for path in sorted(Path(str(versions.__file__)).parent.glob("0*.py")):
        for statement in _statements(path):
            if found := _CREATED.search(statement):
                inherited = " (and those of `visitseq`)" if found[3] else ""
                lines += [f"## {found[1]}\n", f"Columns{inherited}:\n"]
                lines += [
                    f"- `{column[1]}` {column[2].lower()}"
                    for part in found[2].split(",")
                    if (column := _COLUMN.match(part.strip()))
                ]
                lines.append("")
    return "\n".join(lines)


def _statements(path: Path) -> Iterator[str]:
    """Yield the texts of a migration, with the columns of statistics filled in."""
    names: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names |= {ast.unparse(one): str(node.value.value) for one in node.targets}
        for inner in ast.walk(node):
            match inner:
                case ast.JoinedStr(values=parts):
                    yield "".join(_filled(part, names) for part in parts)
                case ast.Constant(value=str(text)):
                    yield text
                case _:
                    pass


def _filled(part: ast.expr, names: dict[str, str]) -> str:
    if isinstance(part, ast.FormattedValue):
        return names.get(ast.unparse(part.value), "")
    return str(part.value) if isinstance(part, ast.Constant) else ""


def notebook(path: Path) -> str:
    """Return a notebook as MyST: its texts, its code and what the code printed."""
    lines = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [text, ""]
            continue
        lines += ["```python", text, "```", ""]
        for output in cell["outputs"]:
            shown = output.get("text") or output["data"].get("text/plain", [])
            lines += ["```text", "".join(shown).rstrip("\n"), "```", ""]
    return "\n".join(lines)


def write_all(folder: Path) -> None:
    """Write every generated part into a folder, as files that pages include."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "commands": commands(),
        "l1-tables": l1_tables(),
        "vsmd-tables": vsmd_tables(),
        "notebook": notebook(ROOT / "docs" / "night-to-light-curve.ipynb"),
    }
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(text)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
