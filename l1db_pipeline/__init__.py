"""The Rubin L1 database prototype: schema, store, AP prototype, reports.

What people use in Python is here: open a database with `open_store`, then ask it with
`cone_search`, `light_curve`, `objects`, `visits` and `digest`. A module is imported
when one of its names is asked for.
"""

import importlib
from typing import Any

_HOME = {
    "cone_search": "queries.database",
    "digest": "queries.database",
    "light_curve": "queries.light_curve",
    "objects": "queries.database",
    "open_store": "store.open",
    "visits": "queries.database",
}


def __getattr__(name: str) -> Any:  # functions and classes of every kind
    if name == "DIA":  # the original's module of that name
        return importlib.import_module(f"{__name__}.dia")
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
