"""What follows from the rows, rebuilt where `verify` found it wrong."""

from collections.abc import Sequence
from dataclasses import replace

from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.upkeep.compact import rebuild, rebuild_current
from l1db_pipeline.store.upkeep.verify import Verifier

__all__ = ["repair_findings"]

_REPAIRED = frozenset({"packed", "chunk", "tiers", "filled"})


def repair_findings(
    database: Database,
    filled: FilledColumns,
    verifier: Verifier,
    found: Sequence[Finding],
) -> list[Finding]:
    """Rebuild what follows from the rows; return the findings, marked if repaired.

    ``verifier`` is the one that found them.
    """
    for history in verifier.histories:
        if bad := verifier.bad_pixels[history.table.name]:
            rebuild(database, history, bad)
    filled.repair(f.where for f in found if f.invariant == "filled")
    repaired = set(_REPAIRED)
    if verifier.bad_current and verifier.layout.packed_last is not None:
        rebuild_current(database, verifier.objects, verifier.bad_current)
        repaired.add("current")
    return [replace(f, repaired=f.invariant in repaired) for f in found]
