"""How commands print a frame: one function a format, by its name."""

import json
from collections.abc import Callable
from typing import Any

import click

__all__ = ["FORMATS", "plain_value", "print_table"]

# Any: pandas is imported only when a command runs


def _print_uuids(found: Any) -> None:
    for uuid in found["visitseq_uuid"]:
        click.echo(uuid)


def _print_csv(found: Any) -> None:
    plain = found.map(lambda v: " ".join(v) if isinstance(v, list) else v)
    click.echo(plain.to_csv(index=False).rstrip("\n"))


def _print_json(found: Any) -> None:
    records = [
        {name: plain_value(value) for name, value in row.items()}
        for row in found.to_dict("records")
    ]
    click.echo(json.dumps(records, indent=2))


def plain_value(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    import pandas as pd

    if isinstance(value, list | dict):
        return value
    if value is None or pd.isna(value):
        return None
    return value if isinstance(value, int | float | bool) else str(value)


def print_table(found: Any) -> None:
    """Print a frame in columns of text; what is empty is left out."""
    if found.empty:
        click.echo("nothing found", err=True)
        return
    shown = found.map(_short)
    columns = [
        [str(name), *map(str, shown[name])]
        for name in shown
        if any(text != "" for text in shown[name])
    ]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _short(value: Any) -> str:
    plain = " ".join(map(str, value)) if isinstance(value, list) else plain_value(value)
    text = (
        ""
        if plain is None
        else f"{plain:g}"
        if isinstance(plain, float)
        else str(plain)
    )
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= 60 else text[:59] + "…"


FORMATS: dict[str, Callable[[Any], None]] = {
    "table": print_table,
    "json": _print_json,
    "csv": _print_csv,
    "uuid": _print_uuids,
}
"""The first is the default: a further format is a module and a line here."""
