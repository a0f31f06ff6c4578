"""Physical tables: those of the schema with our own columns, and the store's own.

Own columns of the science tables:

- ``l1HomePixel``: HTM pixel (at ``history_pixel_level``) in which the object was
  when it was first stored; it never changes, so all history of an object, forced
  sources included, is found under one pixel however the object moves.
- ``l1VisitId``, ``l1VisitTime``: the visit that wrote the row; time windows and the
  checks of the ledger need them.

Keys differ from the original's where a measurement says so: see `_physical`.

With packed history and ``last_object_table`` the current objects are packed too: one
chunk a pixel instead of rows of DiaObjectLast, see `last_chunks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.model import Column, Datatype, Index, Schema, Table
from l1db_pipeline.schema.version import VERSION_TABLE
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables

__all__ = [
    "BLOCK_RANGE",
    "CURRENT_LEVEL",
    "HOME_PIXEL",
    "NOT_DIGESTED",
    "OWN_COLUMNS",
    "SETTINGS",
    "VISIT_ID",
    "VISIT_TIME",
    "Layout",
    "PackedLast",
]

HOME_PIXEL = "l1HomePixel"
VISIT_ID = "l1VisitId"
VISIT_TIME = "l1VisitTime"
BLOCK_RANGE = "BRIN"
"""How the name of an index begins that is a block range index on PostgreSQL."""
CURRENT_LEVEL = 6
"""HTM level of the chunks of current objects, if that of history is not finer: large
enough for few chunks, small enough that a visit merges a part of its pixels only."""
_MERGED_TILE_LENGTH = 40  # that of a tile, with the mark and the tier before it
OWN_COLUMNS = (HOME_PIXEL, VISIT_ID, VISIT_TIME)
NOT_DIGESTED = frozenset({"validityStart", "validityEnd", *OWN_COLUMNS})
"""What the ledger's digests leave out: the store's, not the visit's."""

_OWN = {
    HOME_PIXEL: Column(HOME_PIXEL, Datatype.INT, nullable=False),
    VISIT_ID: Column(VISIT_ID, Datatype.LONG, nullable=False),
    VISIT_TIME: Column(VISIT_TIME, Datatype.TIMESTAMP, nullable=False),
}
_OBJECT_OWN = (HOME_PIXEL, VISIT_ID)
_SOURCE_OWN = (HOME_PIXEL, VISIT_ID, VISIT_TIME)


def _long(name: str) -> Column:
    return Column(name, Datatype.LONG, nullable=False)


def _text(name: str, length: int) -> Column:
    return Column(name, Datatype.STRING, nullable=False, length=length)


def _time(name: str) -> Column:
    return Column(name, Datatype.TIMESTAMP, nullable=False)


def _double(name: str) -> Column:
    return Column(name, Datatype.DOUBLE, nullable=False)


LEDGER = Table(
    "L1Ledger",
    (
        _long("visitId"),
        _text("tile", 32),
        _time("visitTime"),
        Column("nTiles", Datatype.INT, nullable=False),
        _text("objects", 96),
        _text("sources", 96),
        _text("forcedSources", 96),
    ),
    primary_key=("visitId", "tile"),
    indexes=(Index("IDX_L1Ledger_visitTime", ("visitTime",)),),
)
TILE_COUNTS = Table(
    "L1TileCounts",
    (_long("visitId"), Column("nStored", Datatype.INT, nullable=False)),
    primary_key=("visitId",),
)
CELLS = Table(
    "L1Cell",
    (_long("cell"), _long("version"), _long("visitId"), _long("since")),
    primary_key=("cell",),
    description="How often was stored into a cell of the sky; see `store.token`.",
)
SETTINGS = Table(
    "L1Settings",
    (_text("name", 128), Column("value", Datatype.TEXT, nullable=False)),
    primary_key=("name",),
)
FILLED = Table(
    "L1FilledColumns",
    (
        _text("tableName", 64),
        _text("columnName", 64),
        Column("hasNulls", Datatype.INT, nullable=False),
    ),
    primary_key=("tableName", "columnName", "hasNulls"),
)
TIMINGS = Table(
    "L1Timings",
    (
        _long("visitId"),
        _text("tile", 32),
        Column("place", Datatype.INT, nullable=False),
        _text("step", 128),
        _double("real_s"),
        _double("user_s"),
        _double("sys_s"),
        Column("n_rows", Datatype.LONG),
        Column("n_bytes", Datatype.LONG),
    ),
    primary_key=("visitId", "tile", "place"),
)


def _packed(name: str) -> Table:
    columns = (
        Column("pixel", Datatype.INT, nullable=False),
        _long("visitId"),
        _text("tile", _MERGED_TILE_LENGTH),
        _time("firstTime"),
        _time("lastTime"),
        Column("tier", Datatype.INT, nullable=False),
        Column("nRows", Datatype.INT, nullable=False),
        Column("data", Datatype.BLOB, nullable=False),
    )
    return Table(name, columns, primary_key=("pixel", "visitId", "tile"))


OBJECT_HOMES = Table(
    "L1ObjectHome",
    (_long("diaObjectId"), Column("pixel", Datatype.INT, nullable=False)),
    primary_key=("diaObjectId",),
    description="The pixel of CURRENT_LEVEL whose chunk has an object, for ever.",
)
STRAYS = Table(
    "L1Strays",
    (
        Column("pixel", Datatype.INT, nullable=False),
        Column("homePixel", Datatype.INT, nullable=False),
    ),
    primary_key=("pixel", "homePixel"),
    description="Pixels in which objects of another home are, or once were.",
)
PACKED_LAST = _packed("L1PackedDiaObjectLast")
PIXEL_LOCKS = Table(
    "L1PixelLock",
    (Column("pixel", Datatype.INT, nullable=False),),
    primary_key=("pixel",),
    description="What those lock who add versions to a pixel of current objects.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedLast:
    """The tables of current objects that are packed, and how fine their pixels are."""

    level: int
    """HTM level."""
    shift: int
    """Bits by which their numbers are longer than those of history."""
    has_ends: bool = False
    """Whether objects can be closed: they stay in the chunks, with an end."""
    chunks: Table = PACKED_LAST
    homes: Table = OBJECT_HOMES
    strays: Table = STRAYS
    locks: Table = PIXEL_LOCKS

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them."""
        return self.chunks, self.homes, self.strays, self.locks


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Every table of a configuration; `None` for those that it does not have."""

    objects: Table
    nightly: Table | None
    last: Table | None
    """DiaObjectLast, if current objects are rows of their own."""
    packed_last: PackedLast | None
    """In place of it, if they are packed."""
    current: Table
    """The columns of current objects."""
    sources: Table
    forced: Table
    visits: Table
    current_names: frozenset[str]
    """Columns that current objects have in every index mode."""
    others: tuple[Table, ...]
    """Tables that the pipeline does not write (SSObject, the match table)."""
    ledger: Table = LEDGER
    tile_counts: Table = TILE_COUNTS
    cells: Table = CELLS
    settings: Table = SETTINGS
    filled: Table = FILLED
    timings: Table = TIMINGS
    version: Table = VERSION_TABLE
    packed_sources: Table | None = None
    packed_forced: Table | None = None
    daytime: DaytimeTables | None = None
    """Of databases whose schema has images."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in the order in which they are made."""
        optional = (self.nightly, self.last, self.packed_sources, self.packed_forced)
        return (
            self.objects, self.sources, self.forced, self.visits, *self.others,
            *(table for table in optional if table is not None),
            *(() if self.packed_last is None else self.packed_last.tables),
            *(() if self.daytime is None else self.daytime.tables),
            self.ledger, self.tile_counts, self.cells, self.settings, self.filled,
            self.timings, self.version,
        )  # fmt: skip

    @classmethod
    def of(cls, schema: Schema, config: L1dbConfig) -> "Layout":
        """Return the tables that a schema and a configuration ask for."""
        mode = config.dia_object_index
        given = {
            table.name: table
            for table in schema.tables_for(mode, nightly=config.dia_object_nightly)
        }
        packed = config.history is History.PACKED
        made = {
            name: _physical(given.pop(name), own, config)
            for name, own in _SCIENCE.items()
            if name in given
        }
        last = made.get("DiaObjectLast")
        level = max(config.history_pixel_level, CURRENT_LEVEL)
        shift = 2 * (level - config.history_pixel_level)
        is_packed_last = packed and last is not None
        return cls(
            objects=made["DiaObject"],
            nightly=made.get("DiaObjectNightly"),
            last=None if packed else last,
            packed_last=PackedLast(level=level, shift=shift, has_ends=schema.has_images)
            if is_packed_last
            else None,
            current=last or made["DiaObject"],
            sources=made["DiaSource"],
            forced=made["DiaForcedSource"],
            visits=given.pop("L1DbProtoVisits"),
            current_names=frozenset(schema.table("DiaObjectLast").names),
            others=tuple(given.values()),
            packed_sources=_packed("L1PackedDiaSource") if packed else None,
            packed_forced=_packed("L1PackedDiaForcedSource") if packed else None,
            daytime=DaytimeTables() if schema.has_images else None,
        )


_SCIENCE: Mapping[str, tuple[str, ...]] = {
    "DiaObject": _OBJECT_OWN,
    "DiaObjectNightly": _OBJECT_OWN,
    "DiaObjectLast": _SOURCE_OWN,
    "DiaSource": _SOURCE_OWN,
    "DiaForcedSource": _SOURCE_OWN,
}


def _physical(table: Table, own: tuple[str, ...], config: L1dbConfig) -> Table:
    """Return a science table with our own columns and the keys that measured best.

    On PostgreSQL keys that begin with the visit are filled in ascending order, which
    costs a third of a random insert; a BRIN index finds pixels, in whose order each
    visit's rows are written. Where history is read from rows, a b-tree finds them.
    Versions have no key of their own where the chunks of current objects, locked while
    they are merged, show that an object has two of one time.
    """
    columns = (*table.columns, *(_OWN[name] for name in own))
    key, indexes = table.primary_key, table.indexes
    is_last_mode = config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
    is_postgres = config.url.startswith("postgresql")
    is_packed = config.history is History.PACKED
    scan = (Index(f"{BLOCK_RANGE}_{table.name}_{HOME_PIXEL}", (HOME_PIXEL,)),)
    match table.name:
        case "DiaObject" if is_last_mode and is_postgres and is_packed:
            key, indexes = (), scan
        case "DiaObject" if is_last_mode and is_postgres:
            key, indexes = ("validityStart", HOME_PIXEL, "diaObjectId"), scan
        case "DiaObject" if is_last_mode:
            key, indexes = (HOME_PIXEL, "diaObjectId", "validityStart"), ()
        case "DiaObjectLast":
            # the original's (htmId20, diaObjectId) leaves a stale row when it moves
            key = ("diaObjectId",)
            indexes = (Index("IDX_DiaObjectLast_htmId20", ("htmId20",)),)
        case "DiaSource" if is_packed and is_postgres:
            indexes = scan
        case "DiaSource":
            indexes = (Index(f"IDX_DiaSource_{HOME_PIXEL}", (HOME_PIXEL,)),)
        case "DiaForcedSource" if is_packed and is_postgres:
            key, indexes = ("ccdVisitId", HOME_PIXEL, "diaObjectId"), scan
        case "DiaForcedSource":
            key, indexes = (HOME_PIXEL, "diaObjectId", "ccdVisitId"), ()
        case _:
            pass
    return replace(
        table, columns=columns, primary_key=key, indexes=indexes, keys_by_mode={}
    )
