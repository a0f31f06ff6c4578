"""Which attempts read or wrote where: versions of the cells of the sky, for tokens.

Every attempt lists the cells that it read or wrote before it looks for rivals, so that
of two that share a cell one finds the other. The version of a cell, for a visit, is the
number of stored attempts of other visits that list it. It only grows: an equal one says
that nobody has come between. Old ones are folded into numbers; no version changes.

A row has 64 neighbouring cells as the bits of a number.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.store.backends.cassandra.ledger import Ledger
from l1db_pipeline.store.backends.cassandra.session import CassandraSession, Row
from l1db_pipeline.store.backends.cassandra.tables import Tag
from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.token import ReadToken, cells_of

__all__ = ["Cells"]

_BITS = 64
_MOST_AT_ONCE = 200  # rows of a batch
_LISTED = """SELECT visit_id, tile, attempt, cells, folded, epoch FROM {}cells
    WHERE sector = ?"""
_PUT = """INSERT INTO {}cells (sector, visit_id, tile, attempt, cells)
    VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1"""
_SECTORS = "SELECT DISTINCT sector FROM {}cells"
_FOLD = "UPDATE {}cells SET folded = ?, epoch = ? WHERE sector = ? IF epoch = ?"
_REMOVE = """DELETE FROM {}cells WHERE sector = ? AND visit_id = ? AND tile = ?
    AND attempt = ?"""

_Ids = NDArray[np.int64]
_Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Sector:
    """A partition: 64 cells, and who has listed which."""

    number: int
    listed: dict[Tag, int]
    """The bits of each attempt's cells."""
    folded: _Counts
    """Of each cell, attempts that are not listed any more."""
    epoch: int | None

    def counts(self, tags: Collection[Tag]) -> _Counts:
        """Return the version of each cell, with some of those listed."""
        bits = np.array([self.listed[tag] for tag in tags], dtype="<i8")
        each = np.unpackbits(bits.view(np.uint8), bitorder="little")
        total: _Counts = self.folded + each.reshape(-1, _BITS).sum(
            axis=0, dtype=np.int64
        )
        return total


class Cells:
    """Makes tokens, lists the cells of attempts, compares versions, folds."""

    def __init__(self, session: CassandraSession, ledger: Ledger, level: int) -> None:
        self._session = session
        self._ledger = ledger
        self._level = level

    def token(self, database_id: str, visit_id: int, region: Region) -> ReadToken:
        """Return what a unit is about to read; whatever counts here it then sees."""
        cells = cells_of(region, self._level)
        sectors = self._sectors(cells)
        others = {tag for s in sectors for tag in s.listed if tag.visit_id != visit_id}
        stored = self._ledger.stored_tags(others)
        return ReadToken(
            database_id, visit_id, cells, _versions(cells, sectors, stored)
        )

    def statements(self, tag: Tag, cells: _Ids) -> list[tuple[str, Row]]:
        """Return the statements that list the cells of an attempt."""
        masks = _masks(cells)
        return [(_PUT, (sector, *tag, mask)) for sector, mask in masks.items()]

    def check(self, tag: Tag, token: ReadToken) -> None:
        """Refuse an attempt, whose cells are listed, if what it follows from is stale.

        Raises
        ------
        StaleReadError
            If another visit has stored where was read.
        GiveWayError
            If one that goes first may be about to.
        """
        sectors, wanted = self._sectors(token.cells), _masks(token.cells)
        others = {
            other
            for sector in sectors
            for other, mask in sector.listed.items()
            if other.visit_id != tag.visit_id and mask & wanted[sector.number]
        }
        stored = self._ledger.stored_tags(others)
        for other in sorted(others - stored):
            is_dead = self._ledger.is_dead(other)
            if not is_dead and self._ledger.is_stored_rival(other, tag):
                stored.add(other)
        is_stale = _versions(token.cells, sectors, stored) != token.versions
        if is_stale.any():
            cells = token.cells[is_stale]
            masks = _masks(cells)
            visits = {
                other.visit_id
                for sector in sectors
                for other in self._ledger.newest(stored & sector.listed.keys())
                if sector.listed[other] & masks.get(sector.number, 0)
            }
            raise StaleReadError(tag.visit_id, cells.tolist(), sorted(visits))

    def _sectors(self, cells: _Ids) -> list[_Sector]:
        return self._read(np.unique(cells // _BITS).tolist())

    def _read(self, numbers: Sequence[int]) -> list[_Sector]:
        found = self._session.many([(_LISTED, (number,)) for number in numbers])
        return [
            self._sector(number, rows)
            for number, rows in zip(numbers, found, strict=True)
        ]

    def _sector(self, number: int, rows: list[Row]) -> _Sector:
        while len({row[5] for row in rows}) > 1:  # folded between two pages
            rows = self._session.run(_LISTED, number)
        folded, epoch = rows[0][4:] if rows else (None, None)
        counts = (
            np.frombuffer(folded, dtype="<i8") if folded else np.zeros(_BITS, "<i8")
        )
        # a row of the static columns alone has no attempt
        listed = {Tag(*row[:3]): row[3] for row in rows if row[2] is not None}
        return _Sector(number, listed, counts, epoch)

    def fold(self, is_ripe: Callable[[Tag], bool]) -> None:
        """Fold the stored attempts that are ripe, and remove those that never will be.

        A visit of which more parts may come is not ripe: its own do not make it stale.
        """
        for (number,) in self._session.run(_SECTORS):
            while self._fold(number, is_ripe) == _MOST_AT_ONCE:
                pass

    def _fold(self, number: int, is_ripe: Callable[[Tag], bool]) -> int:
        (sector,) = self._read([number])
        stored = self._ledger.stored_tags(sector.listed)
        ripe = [tag for tag in sector.listed if tag in stored and is_ripe(tag)]
        ripe = ripe[:_MOST_AT_ONCE]
        dead = [tag for tag in sector.listed if self._ledger.is_dead(tag)]
        gone = [*ripe, *dead][:_MOST_AT_ONCE]
        if not gone:
            return 0
        counts = sector.counts(ripe).astype("<i8").tobytes()
        named = (counts, (sector.epoch or 0) + 1, number, sector.epoch)
        work: list[tuple[str, Row]] = [(_FOLD, named)]
        work += [(_REMOVE, (number, *tag)) for tag in gone]
        return len(gone) if self._session.swap_batch(work) else 0


def _masks(cells: _Ids) -> dict[int, int]:
    """Return cells as bits, by sector; signed, as the database keeps them."""
    sectors, starts = np.unique(cells // _BITS, return_index=True)
    bits = np.left_shift(np.int64(1), cells % _BITS)
    masks: Any = np.bitwise_or.reduceat(bits, starts) if len(cells) else bits
    return dict(zip(sectors.tolist(), masks.tolist(), strict=True))


def _versions(cells: _Ids, sectors: Iterable[_Sector], stored: set[Tag]) -> _Ids:
    versions = np.zeros(len(cells), dtype=np.int64)
    for sector in sectors:
        is_here = cells // _BITS == sector.number
        counts = sector.counts([tag for tag in sector.listed if tag in stored])
        versions[is_here] = counts[cells[is_here] % _BITS]
    return versions
