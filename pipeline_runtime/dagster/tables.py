"""Tables in an asset's metadata: their rows, their columns, what the columns mean."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Meaning",
    "columns_schema",
    "frame_schema",
    "frame_table",
    "link",
    "table",
    "table_column",
]

Meaning = tuple[str, str, str]
"""Type, unit (empty for none) and meaning of a column."""

_UNKNOWN = ("", "", "")
_NO_MEANINGS: Mapping[str, Meaning] = {}
_MOST_ROWS = 200  # an event is a row of Dagster's database
_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool", "M": "datetime"}


def table_column(
    name: str, kind: str = "string", unit: str = "", words: str = ""
) -> dg.TableColumn:
    """Return a column, its unit behind its description."""
    described = " ".join(filter(None, [words, f"[{unit}]" if unit else ""]))
    return dg.TableColumn(name, kind, description=described or None)


def columns_schema(
    columns: Mapping[str, str], meanings: Mapping[str, Meaning] = _NO_MEANINGS
) -> dg.TableSchema:
    """Return the columns of a table by their names and types, and what they mean."""
    return dg.TableSchema(
        [
            table_column(name, kind, *meanings.get(name, _UNKNOWN)[1:])
            for name, kind in columns.items()
        ]
    )


def table(
    rows: Iterable[Mapping[str, str | float | bool | None]],
    columns: Mapping[str, str],
    meanings: Mapping[str, Meaning] = _NO_MEANINGS,
) -> dg.TableMetadataValue:
    """Return rows as metadata that the web UI shows as a table, the first 200."""
    shown = [
        dg.TableRecord({name: row.get(name) for name in columns})
        for _, row in zip(range(_MOST_ROWS), rows, strict=False)
    ]
    return dg.MetadataValue.table(shown, columns_schema(columns, meanings))


def frame_schema(
    frame: "pd.DataFrame", meanings: Mapping[str, Meaning] = _NO_MEANINGS
) -> dg.TableSchema:
    """Return the columns of a frame."""
    return columns_schema(_kinds(frame), meanings)


def frame_table(
    frame: "pd.DataFrame", meanings: Mapping[str, Meaning] = _NO_MEANINGS
) -> dg.TableMetadataValue:
    """Return a frame as metadata: numbers as such, all else as text."""
    kinds = _kinds(frame)
    rows = (
        {str(name): _plain(value, kinds[str(name)]) for name, value in row.items()}
        for row in frame.head(_MOST_ROWS).to_dict("records")
    )
    return table(rows, kinds, meanings)


def link(url: str) -> dg.MetadataValue:
    """Return a URL as metadata: a link if a browser can follow it, else text."""
    if url.startswith(("http://", "https://")):
        return dg.MetadataValue.url(url)
    return dg.MetadataValue.text(url)


def _kinds(frame: "pd.DataFrame") -> dict[str, str]:
    return {
        str(name): _KINDS.get(getattr(kind, "kind", "O"), "string")
        for name, kind in frame.dtypes.items()
    }


def _plain(value: object, kind: str) -> str | float | bool | None:
    text = str(value)
    match kind:
        case _ if text in {"nan", "NaN", "NaT", "None", "<NA>"}:
            return None
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return text == "True"
        case _:
            return text
