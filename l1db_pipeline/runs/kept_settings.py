"""Settings that steer a run, as the database keeps them: each with a checksum.

Nothing else in the database follows from a seed or from the sequence of a night: a
second setting tells whether the first is still what the run wrote.
"""

import hashlib
from collections.abc import Iterator

from l1db_pipeline.store.base import Finding, L1Store, Verification

__all__ = ["checksum", "keep_setting", "verify_settings"]

_RUN = "run."
_SUM = "sum."


def keep_setting(store: L1Store, name: str, value: str) -> str:
    """Write a setting of a run unless it is there; return what the database keeps."""
    kept = store.put_setting(name, value)
    if kept == value:
        store.put_setting(_SUM + name, checksum(name, value))
    return kept


def verify_settings(store: L1Store, scope: Verification) -> Iterator[Finding]:
    """Find settings of runs that were changed or deleted since they were written.

    Those of an earlier version of this package have no checksum until a run continues.
    """
    settings = store.read_settings(_RUN)
    sums = store.read_settings(_SUM + _RUN)
    scope.proved["run settings"] = len(sums)
    for name, stated in sums.items():
        setting = name.removeprefix(_SUM)
        value = settings.get(setting)
        if value is None or stated != checksum(setting, value):
            yield Finding(
                invariant="run settings",
                where=setting,
                detail="was deleted" if value is None else
                f"is {value}, which is not what the run wrote: restore the former "
                "value before continuing the run",
            )  # fmt: skip


def checksum(name: str, value: str) -> str:
    """Return what tells whether a setting is still what was written."""
    return hashlib.sha256(f"{name}={value}".encode()).hexdigest()[:16]
