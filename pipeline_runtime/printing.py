"""How commands print rows: one function a format, by its name.

Light on purpose: a command that prints a word must not load pandas for it.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import click

__all__ = [
    "FORMATS",
    "format_option",
    "plain_value",
    "plain_words",
    "print_rows",
    "print_table",
]

# Any: a row holds whatever its column does
F = TypeVar("F", bound=Callable[..., Any])
_Printer = Callable[[Sequence[str], Sequence[Sequence[Any]]], None]
_JSON = "pipeline_runtime.json"
_WIDEST = 60
# all but the ends of lines and tabs, which CSV can hold; those that turn the direction
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _print_csv(
    names: Sequence[str], rows: Sequence[Sequence[Any]], separator: str = ","
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", delimiter=separator)
    writer.writerow(map(plain_words, names))
    writer.writerows([_csv_text(value) for value in row] for row in rows)
    click.echo(stream.getvalue(), nl=False)


def _csv_text(value: Any) -> str:
    plain = plain_value(value)
    if plain is None:
        return ""
    if isinstance(plain, list):
        return plain_words(" ".join(map(str, plain)))
    return json.dumps(plain) if isinstance(plain, dict) else plain_words(str(plain))


def plain_words(text: str) -> str:
    """Return a text with its control characters escaped: a terminal obeys them."""
    return _CONTROLS.sub(lambda c: c[0].encode("unicode_escape").decode(), text)


def _print_json(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    records = [dict(zip(names, map(plain_value, row), strict=True)) for row in rows]
    click.echo(json.dumps(records, indent=2))


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns of text; a column that is empty is left out."""
    if not rows:
        click.echo("nothing found", err=True)
        return
    columns = [
        [_short(name), *map(_short, values)]
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    columns = [column for column in columns if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _short(value: Any) -> str:
    plain = plain_value(value)
    text = f"{plain:g}" if isinstance(plain, float) else _csv_text(plain)
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def plain_value(value: Any) -> Any:
    """Return a value as JSON can hold it: NULL, NaN and NaT are None."""
    match value:
        case None | bool() | int() | str() | list() | dict():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return value.hex()
        case _ if hasattr(value, "tolist"):  # of numpy
            return plain_value(value.tolist())
        case _:  # NaT is not itself, as pandas' NA is neither this nor that
            is_null = str(value) in {"NaT", "<NA>"}
            return None if is_null else str(value)


FORMATS: dict[str, _Printer] = {
    "table": print_table,
    "json": _print_json,
    "csv": _print_csv,
    "tsv": partial(_print_csv, separator="\t"),
}
"""A further format is a function and a line here."""


def format_option(default: str = "table", *more: str) -> Callable[[F], F]:
    """Add ``--format`` and its alias ``--json``; the command gets ``output``.

    Parameters
    ----------
    default
        What is printed when neither is given.
    more
        Formats that only this command has.
    """

    def decorate(function: F) -> F:
        function = click.option(
            "--json", is_flag=True, is_eager=True, expose_value=False,
            callback=_remember_json, help="The same as --format json.",
        )(function)  # fmt: skip
        return click.option(
            "--format", "output", type=click.Choice([*FORMATS, *more]),
            default=default, show_default=True, callback=_chosen, help="How to print.",
        )(function)  # fmt: skip

    return decorate


def _remember_json(context: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        context.meta[_JSON] = True


def _chosen(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not context.meta.get(_JSON):
        return value
    source = context.get_parameter_source(str(parameter.name))
    if source is click.core.ParameterSource.COMMANDLINE and value != "json":
        raise click.UsageError(f"give --json or --format {value}, not both")
    return "json"


def print_rows(
    output: str, names: Iterable[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Print rows in a format of `FORMATS`; values are Python's, numpy's or pandas'."""
    FORMATS[output](list(names), [tuple(row) for row in rows])
