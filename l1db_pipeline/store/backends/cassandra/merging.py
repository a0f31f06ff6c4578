"""Merging of chunks: one chunk of each pixel and month, the dead ones removed.

The merged chunk is written first, and counts for nothing. One conditional batch of the
partition then names it as the base and removes what it replaces, if no other merge has
come between.

A visit is left alone until it is complete, and until it was stored longer ago than any
read may last: a reader who saw one of its pixels before it was stored, and another one
merged, would have nothing left to notice that by.
"""

import uuid
from collections.abc import Sequence

import numpy as np

from l1db_pipeline.store.backends.cassandra.ledger import Ledger, complete_visits
from l1db_pipeline.store.backends.cassandra.reading import (
    MERGED,
    Partition,
    pack_attempts,
    read_partitions,
)
from l1db_pipeline.store.backends.cassandra.session import CassandraSession, Row
from l1db_pipeline.store.backends.cassandra.tables import CURRENT, Tag, month_of
from l1db_pipeline.store.backends.cassandra.writing import NAME_OF
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import encode_chunks, group_chunks
from l1db_pipeline.store.tables.history import rows_of
from l1db_pipeline.store.tables.layout import VISIT_ID, Layout
from l1db_pipeline.store.tables.packed_objects import PackedObjects

__all__ = ["Merger", "partitions_of"]

_MOST_AT_ONCE = 200  # a cluster takes batches of some ten kB
_PARTITIONS = "SELECT DISTINCT pixel, month FROM {}%s"
_PUT = """INSERT INTO {}%s (pixel, month, kind, visit_id, tile, attempt, n_rows, data,
    tags) VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1"""
_NAME = """UPDATE {}%s SET base = ?, epoch = ? WHERE pixel = ? AND month = ?
    IF epoch = ?"""
_REMOVE = """DELETE FROM {}%s WHERE pixel = ? AND month = ? AND kind = ?
    AND visit_id = ? AND tile = ? AND attempt = ?"""
_STORED_AT = "SELECT writetime(state) FROM {}ledger WHERE visit_id = ? AND tile = ?"
_NOW = "SELECT toUnixTimestamp(now()) FROM system.local"


def partitions_of(session: CassandraSession, table: str) -> list[tuple[int, int]]:
    """Return pixel and month of all partitions of a table, ascending."""
    return sorted((row[0], row[1]) for row in session.run(_PARTITIONS % table))


class Merger:
    """Merges what is complete and old enough.

    Parameters
    ----------
    session, ledger, layout, packed
        Of the store.
    before
        Months of this time and later stay as they are; `None` for none.
    """

    def __init__(
        self,
        session: CassandraSession,
        ledger: Ledger,
        layout: Layout,
        packed: PackedObjects,
        before: np.datetime64 | None,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._tables = {t.name: t for t in (layout.objects, layout.sources,
                                            layout.forced)}  # fmt: skip
        self._packed = packed
        self._before = before
        self._ripe: dict[int, bool] = {}

    def merge(self, table: str) -> int:
        """Merge a table; return how many chunks fewer there are that count."""
        n_fewer = 0
        for pixel, month in partitions_of(self._session, table):
            is_late = self._before is not None and month >= month_of(self._before)
            if table == CURRENT or not is_late:
                while n := self._merge(table, pixel, month):
                    n_fewer += n
        return n_fewer

    def _merge(self, table: str, pixel: int, month: int) -> int:
        for part in read_partitions(self._session, table, [pixel], [month]):
            stored = self._ledger.stored_tags(part.originals)
            ripe = [tag for tag in part.originals if tag in stored]
            ripe = [tag for tag in ripe if self.is_ripe(tag)][:_MOST_AT_ONCE]
            dead = [tag for tag in part.originals if self._ledger.is_dead(tag)]
            gone = [*part.stale, *((0, tag) for tag in dead)]
            if len(ripe) + len(part.merged) < 2:
                if gone:
                    self._replace(table, part, gone, None)
                return 0
            base = self._write(table, part, ripe)
            gone += [(0, tag) for tag in ripe]
            gone += [(MERGED, tag) for tag, _ in part.merged]
            if self._replace(table, part, gone, base):
                return len(ripe) + len(part.merged) - 1
        return 0

    def is_ripe(self, tag: Tag) -> bool:
        """Tell whether the visit of a stored attempt may be merged."""
        if tag.visit_id not in self._ripe:
            self._ripe[tag.visit_id] = self._is_old(tag.visit_id)
        return self._ripe[tag.visit_id]

    def _is_old(self, visit_id: int) -> bool:
        """Tell whether a visit is complete, and all its parts stored long enough."""
        parts = self._ledger.tiles(visit_id)
        tiles = [(visit_id, tag.tile, n) for tag, (_, n) in parts.items()]
        if not complete_visits(tiles):
            return False
        age_s = self._session.place.merge_age_s
        if not age_s:
            return True
        now_us = self._session.run(_NOW)[0][0] * 1000
        work = [(_STORED_AT, (visit_id, tag.tile)) for tag in parts]
        times = [rows[0][0] for rows in self._session.many(work)]
        return bool(now_us - max(times) > age_s * 1_000_000)

    def _write(self, table: str, part: Partition, ripe: Sequence[Tag]) -> Tag:
        """Write the merged chunk, which nobody counts yet; return its key."""
        chunks = [(part.pixel, part.originals[tag]) for tag in ripe]
        chunks += [(part.pixel, data) for _, data in part.merged]
        groups = group_chunks(NAME_OF[table], chunks)
        attempts = part.merged_attempts | {tag.attempt for tag in ripe}
        base = Tag((part.epoch or 0) + 1, "", uuid.uuid4())
        ((_, n_rows, raw),) = self._packed_rows(table, groups)
        listed = pack_attempts(attempts)
        values = (part.pixel, part.month, *base, n_rows, raw, listed)
        self._session.run(_PUT % table, *values)
        return base

    def _packed_rows(
        self, table: str, groups: Sequence[ChunkGroup]
    ) -> list[tuple[int, int, bytes]]:
        name = NAME_OF[table]
        if table == CURRENT:
            nobody = np.empty(0, dtype=np.int32)
            rows, pixels = self._packed.merged(groups, None, nobody)
        else:
            rows, pixels = rows_of(self._tables[name], groups)
            order = np.argsort(rows[VISIT_ID], kind="stable")
            rows, pixels = rows.take(order), pixels[order]
        return encode_chunks(
            name, rows, pixels, segments=rows[VISIT_ID],
            dictionary="" if table == CURRENT else "diaObjectId",
        )  # fmt: skip

    def _replace(
        self,
        table: str,
        part: Partition,
        gone: Sequence[tuple[int, Tag]],
        base: Tag | None,
    ) -> bool:
        """Name the base and remove chunks, unless another merge came between."""
        kept = part.merged[0][0].attempt if part.merged else None
        place = part.pixel, part.month
        named = (kept if base is None else base.attempt, (part.epoch or 0) + 1)
        statements: list[tuple[str, Row]] = [
            (_NAME % table, (*named, *place, part.epoch))
        ]
        statements += [
            (_REMOVE % table, (*place, kind, *tag))
            for kind, tag in gone[: _MOST_AT_ONCE * 2]
        ]
        return self._session.swap_batch(statements)
