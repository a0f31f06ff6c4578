"""The ledger beside the rows and the visits table: counts, content and times."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.tables.history import TimeWindow
from l1db_pipeline.store.tables.layout import Layout

__all__ = ["check_digests", "check_visits"]


def check_digests(
    name: str,
    entries: Catalog,
    found: Mapping[int, TableDigest],
    known: Collection[int],
) -> Iterator[Finding]:
    """Find the visits whose rows of a table are not those that were stored.

    Parameters
    ----------
    name
        The ledger's column of the table.
    entries
        The ledger's entries of the visits that are verified.
    found
        Digests of the rows that there are, by visit.
    known
        All visits in the ledger.
    """
    expected: dict[int, TableDigest] = {}
    texts = entries[name].tolist()
    for visit_id, text in zip(entries["visitId"].tolist(), texts, strict=True):
        total = expected.get(visit_id, TableDigest())
        expected[visit_id] = total + TableDigest.parse(str(text))
    for visit_id in sorted(expected.keys() | (found.keys() - set(known))):
        yield from _compare(
            visit_id, name, expected.get(visit_id), found.get(visit_id, TableDigest())
        )


def _compare(
    visit_id: int, name: str, expected: TableDigest | None, found: TableDigest
) -> Iterator[Finding]:
    where = f"visit {visit_id} {name}"
    if expected is None:
        yield Finding(
            invariant="ledger counts",
            where=where,
            detail=f"{found.n_rows} rows of a visit that is not in the ledger",
        )
    elif expected.n_rows != found.n_rows:
        yield Finding(
            invariant="ledger counts",
            where=where,
            detail=f"{found.n_rows} rows, the ledger says {expected.n_rows}",
        )
    elif expected != found:
        yield Finding(
            invariant="ledger digest",
            where=where,
            detail="the rows have other content than was stored",
        )


def check_visits(
    database: Database, layout: Layout, entries: Catalog, window: TimeWindow
) -> Iterator[Finding]:
    """Find the visits that are in the ledger or the visits table, but not in both."""
    where = window.conditions("visitTime", "visitTime")
    visits = database.select(layout.visits, ["visitId", "visitTime"], where)
    present = dict(
        zip(visits["visitId"].tolist(), visits["visitTime"].tolist(), strict=True)
    )
    wanted = {}
    ids, firsts, counts = np.unique(
        entries["visitId"], return_index=True, return_counts=True
    )
    for visit_id, place, count in zip(ids.tolist(), firsts, counts, strict=True):
        if entries["nTiles"][place] == 0:
            present.pop(visit_id, None)  # its end is told, not counted
        elif count == entries["nTiles"][place]:
            wanted[visit_id] = entries["visitTime"][place].item()
    for visit_id in sorted(wanted.keys() | present.keys()):
        if wanted.get(visit_id) != present.get(visit_id):
            yield Finding(
                invariant="visits table",
                where=f"visit {visit_id}",
                detail=(
                    f"the visits table says {present.get(visit_id)}, "
                    f"the ledger {wanted.get(visit_id)}"
                ),
            )
