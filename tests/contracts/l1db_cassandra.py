"""A store on Cassandra for tests, emptied between them."""

from typing import Any

KEYS = {
    "ledger": ("visit_id", "tile"),
    "parts": ("visit_id", "tile", "attempt"),
    "journal": ("month", "time", "visit_id", "tile", "attempt"),
    "ids": ("kind", "prefix", "visit_id", "tile", "attempt"),
    "strays": ("pixel", "home"),
    "cells": ("sector", "visit_id", "tile", "attempt"),
    **dict.fromkeys(
        ("current", "versions", "sources", "forced"),
        ("pixel", "month", "kind", "visit_id", "tile", "attempt"),
    ),
    "settings": ("name",),
    "timings": ("visit_id", "tile"),
}
DECIDED = {"ledger", "settings"}
"""Tables whose rows conditional statements write, and so delete."""


def rows_of(store: Any, table: str) -> list[tuple[Any, ...]]:
    """Return the keys of a table's rows."""
    columns = ", ".join(KEYS[table])
    found = store._session.run(f"SELECT {columns} FROM {{}}{table}")
    return [row for row in found if None not in row]


def empty_cassandra(store: Any) -> None:
    """Delete row by row: TRUNCATE takes a second, and a range hides later rows."""
    work = []
    for table, key in KEYS.items():
        where = " AND ".join(f"{name} = ?" for name in key)
        end = " IF EXISTS" if table in DECIDED else ""
        text = f"DELETE FROM {{}}{table} WHERE {where}{end}"
        work += [
            (text, row)
            for row in rows_of(store, table)
            if not (table == "settings" and row[0].startswith("l1."))
        ]
    store._session.many(work)
    store.forget()
    store.timings.steps.clear()
