"""A store on Cassandra for tests, emptied between them."""

from typing import Any

CHUNK_TABLES = ("current", "versions", "sources", "forced")
KEYS = {
    "ledger": ("visit_id", "tile"),
    "parts": ("visit_id", "tile", "attempt"),
    "journal": ("month", "time", "visit_id", "tile", "attempt"),
    "ids": ("kind", "prefix", "visit_id", "tile", "attempt"),
    "strays": ("pixel", "home"),
    "cells": ("sector", "visit_id", "tile", "attempt"),
    **dict.fromkeys(
        CHUNK_TABLES, ("pixel", "month", "kind", "visit_id", "tile", "attempt")
    ),
    "settings": ("name",),
    "timings": ("visit_id", "tile"),
}
STATICS = {
    "cells": (("sector",), "folded"),
    **dict.fromkeys(CHUNK_TABLES, (("pixel", "month"), "base")),
}
"""Keys of partitions, and what merges keep for a whole one, apart from its epoch."""
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
    for table, (place, value) in STATICS.items():
        columns = ", ".join(place)
        found = store._session.run(f"SELECT DISTINCT {columns}, epoch FROM {{}}{table}")
        where = " AND ".join(f"{name} = ?" for name in place)
        text = f"UPDATE {{}}{table} SET {value} = null, epoch = null WHERE {where}"
        work += [(f"{text} IF epoch = ?", row) for row in found if row[-1] is not None]
    store._session.many(work)
    store.forget()
    store.timings.steps.clear()
