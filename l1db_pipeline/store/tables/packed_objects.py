"""Current objects in chunks: which row is an object's latest, and how they are merged.

An object may be in several chunks of its pixel: the latest is the current one. Every
row says whether its object had a version before, and of an object's rows at most one
says no; so only objects with a row that says yes can have several.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.model import Column, Datatype, Table
from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.sky.pixelization import Interior, in_region
from l1db_pipeline.store.tables.chunk_group import ChunkGroup, join_groups
from l1db_pipeline.store.tables.current import Homes
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME
from l1db_pipeline.store.tables.rows import add_empty_columns

__all__ = ["IS_KNOWN", "PackedObjects"]

IS_KNOWN = "l1IsKnown"
_KNOWN_COLUMN = Column(IS_KNOWN, Datatype.BYTE, nullable=False)
_NO_IDS = np.empty(0, dtype=np.int64)
_Pixels = NDArray[np.int32]
_Keep = NDArray[np.intp] | None


class PackedObjects:
    """Reads and merges chunks of current objects.

    Parameters
    ----------
    current
        Has their columns.
    has_ends
        Whether objects can be closed: they stay in the chunks, with an end.
    """

    def __init__(self, current: Table, *, has_ends: bool = False) -> None:
        own = {HOME_PIXEL} if has_ends else {HOME_PIXEL, "validityEnd"}
        columns = [column for column in current.columns if column.name not in own]
        self.kept = replace(
            current, columns=(*columns, _KNOWN_COLUMN), primary_key=(), indexes=(),
            keys_by_mode={},
        )  # fmt: skip
        """The columns of the chunks."""
        self._current = current

    def kept_of(self, rows: Catalog) -> Catalog:
        """Return the columns of versions that chunks of current objects keep."""
        return rows.select([name for name in rows.names if name in self.kept])

    def in_region(
        self, groups: Sequence[ChunkGroup], region: Region, columns: Sequence[str]
    ) -> tuple[Catalog, Homes]:
        """Return current objects, exactly trimmed, and their homes."""
        interior = Interior(region)
        # the latest first: an older version may be inside where the latest is not
        keeps = [
            _inside(group, is_latest, region, interior)
            for group, is_latest in zip(groups, _latest(groups), strict=True)
        ]
        return self._join(groups, keeps, columns)

    def current(
        self,
        groups: Sequence[ChunkGroup],
        columns: Sequence[str],
        *,
        since: np.datetime64 | None = None,
    ) -> tuple[Catalog, Homes]:
        """Return the latest version of every object, and the objects' homes.

        With ``since`` those alone that are of that time or later.
        """
        keeps = []
        for group, is_latest in zip(groups, _latest(groups), strict=True):
            times = None if since is None else group.column(VISIT_TIME)[0]
            is_wanted = is_latest if times is None else is_latest & (times >= since)
            keeps.append(np.flatnonzero(is_wanted))
        return self._join(groups, keeps, columns)

    def _join(
        self,
        groups: Sequence[ChunkGroup],
        keeps: Sequence[_Keep],
        columns: Sequence[str],
    ) -> tuple[Catalog, Homes]:
        names = list(dict.fromkeys(columns))
        # of a chunk column that all lack there is at least the number of rows
        rows = join_groups(
            groups, keeps, list(dict.fromkeys(["diaObjectId", *names])), self._dtype_of
        )
        pixels = [group.pixel_of_row() if keep is None else group.pixel_of_row()[keep]
                  for group, keep in zip(groups, keeps, strict=True)]  # fmt: skip
        every = np.concatenate([np.empty(0, np.int32), *pixels])
        ids = rows["diaObjectId"] if groups else _NO_IDS
        return add_empty_columns(self._current, rows, names), Homes(ids, every)

    def _dtype_of(self, name: str) -> np.dtype[Any]:
        table = self.kept if name in self.kept else self._current
        return table.column(name).numpy_dtype

    def merged(
        self, groups: Sequence[ChunkGroup], rows: Catalog | None, homes: _Pixels
    ) -> tuple[Catalog, _Pixels]:
        """Return the latest of each object of chunks and new rows, in chunk order."""
        if rows is not None and not groups:
            return rows, homes
        new = [] if rows is None else [rows]
        present = {name for group in groups for name in group.names}
        present.update(name for part in new for name in part.names)
        names = [name for name in self.kept.names if name in present]
        old = join_groups(groups, [None] * len(groups), names, self._dtype_of)
        every = Catalog.concat(
            [add_empty_columns(self.kept, part, names) for part in (old, *new)]
        )
        pixels = np.concatenate([*(g.pixel_of_row() for g in groups), homes])
        ids = every["diaObjectId"]
        order = np.lexsort((every[VISIT_TIME], ids))
        is_last = np.append(ids[order][1:] != ids[order][:-1], np.True_)
        starts = np.flatnonzero(np.append(np.True_, is_last[:-1]))
        # it has a version elsewhere if none of these was its first
        known = np.minimum.reduceat(every[IS_KNOWN][order], starts)
        latest = order[is_last]
        kept, pixels = every.take(latest), pixels[latest]
        kept = Catalog({**kept.columns, IS_KNOWN: known}, kept.nulls)
        in_chunk = np.lexsort((kept["diaObjectId"], kept[VISIT_ID], pixels))
        return kept.take(in_chunk), pixels[in_chunk]


def _inside(
    group: ChunkGroup,
    is_latest: NDArray[np.bool_],
    region: Region,
    interior: Interior,
) -> NDArray[np.intp] | None:
    """Return the rows that are current and in a region; `None` for all."""
    keep = None if is_latest.all() else np.flatnonzero(is_latest)
    inside = interior.holds(group.column("htmId20", keep)[0])
    rest = np.flatnonzero(~inside)
    if len(rest):
        which = rest if keep is None else keep[rest]
        ra, decl = (group.column(name, which)[0] for name in ("ra", "decl"))
        inside[rest] = in_region(radec_to_xyz(ra, decl), region)
    if inside.all():
        return keep
    return np.flatnonzero(inside) if keep is None else keep[inside]


def _latest(groups: Sequence[ChunkGroup]) -> list[NDArray[np.bool_]]:
    """Tell which rows are current: the latest of their object, and not closed."""
    latest = _last_versions(groups)
    for number, group in enumerate(groups):
        if "validityEnd" in group.names:
            is_open = group.column("validityEnd")[1]
            latest[number] &= np.False_ if is_open is None else is_open
    return latest


def _last_versions(groups: Sequence[ChunkGroup]) -> list[NDArray[np.bool_]]:
    """Tell which rows are the latest of their object among all groups."""
    latest = [np.ones(len(group), dtype=np.bool_) for group in groups]
    marked = []
    for group in groups:
        rows = np.flatnonzero(group.column(IS_KNOWN)[0])
        marked.append(group.column("diaObjectId", rows)[0] if len(rows) else _NO_IDS)
    several = IdSet(np.unique(np.concatenate([_NO_IDS, *marked])))
    if not len(several):
        return latest
    best = np.full(len(several), np.datetime64("0001-01-01", "us"))
    found = []
    for number, group in enumerate(groups):
        places = several.places(group.column("diaObjectId")[0])
        rows = np.flatnonzero(places >= 0)
        times = group.column(VISIT_TIME, rows)[0]
        np.maximum.at(best, places[rows], times)
        found.append((number, rows, places[rows], times))
    for number, rows, places, times in found:
        latest[number][rows[times < best[places]]] = False
    return latest
