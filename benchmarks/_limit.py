"""The limit of a visit: what moving its bytes alone costs.

COPY of the bytes that the visit wrote into bare tables (no key, no index), and
numpy.fromfile of the bytes of the chunks that its reads were served from.
"""

import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _driver import ServerCpu
from _workload import VisitInput
from psycopg import sql

from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.pgbinary import copy_payload
from l1db_pipeline.store.backends.postgres import PostgresDatabase
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.layout import VISIT_ID


@dataclass
class Limit:
    """Takes the limit of chosen visits; a list has one element for each."""

    chosen: Collection[int]
    cpu: ServerCpu
    visits: list[int] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    written_mib: list[float] = field(default_factory=list)
    read_mib: list[float] = field(default_factory=list)

    def __call__(self, store: L1Store, visit: VisitInput) -> None:
        """Take the limit of the visit that was just stored."""
        if visit.key.visit_id not in self.chosen or not isinstance(store, SqlL1Store):
            return
        database = store._database  # noqa: SLF001 - the same connection, bare tables
        if not isinstance(database, PostgresDatabase):
            return
        connection = database._connection  # noqa: SLF001
        jobs = list(_payloads(store, database, visit))
        for name, columns, _ in jobs:
            connection.execute(
                sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
                    sql.Identifier(f"bare_{name}"), columns, sql.Identifier(name)
                )
            )
        self.visits.append(visit.key.visit_id)
        self.written_mib.append(sum(len(raw) for _, _, raw in jobs) / 2**20)
        chunks = _chunk_bytes(store, database, visit)
        self.read_mib.append(len(chunks) / 2**20)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chunks"
            path.write_bytes(chunks)
            server, client = self.cpu(), time.process_time()
            wall = time.perf_counter()
            connection.execute("BEGIN")
            for name, columns, raw in jobs:
                query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                    sql.Identifier(f"bare_{name}"), columns
                )
                with connection.cursor().copy(query) as copy:
                    for start in range(0, len(raw), 1 << 22):
                        copy.write(raw[start : start + (1 << 22)])
            connection.execute("COMMIT")
            np.fromfile(path, dtype=np.uint8)
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() - client + self.cpu() - server)
        for name, _, _ in jobs:
            connection.execute(
                sql.SQL("DROP TABLE {}").format(sql.Identifier(f"bare_{name}"))
            )


def _payloads(
    store: SqlL1Store, database: PostgresDatabase, visit: VisitInput
) -> Iterator[tuple[str, sql.Composed, bytes]]:
    """Yield table, columns and COPY payload of all that a visit wrote."""
    layout = store.layout
    rows = (layout.objects, layout.last, layout.sources, layout.forced)
    chunks = [layout.packed_sources, layout.packed_forced]
    if layout.packed_last is not None:
        chunks.append(layout.packed_last.chunks)
    for table in (*rows, *chunks):
        if table is None:
            continue
        is_rows = table in rows
        names = store._filled.filled(table, table.names) if is_rows else table.names  # noqa: SLF001
        key = VISIT_ID if is_rows else "visitId"
        where = [Condition(key, Op.EQUAL, visit.key.visit_id)]
        found = database.select(table, names, where)
        columns = [table.column(name) for name in found.names]
        raw = b"".join(bytes(block) for block in copy_payload(columns, found))
        quoted = sql.SQL(", ").join(sql.Identifier(c.sql_name) for c in columns)
        yield table.name, quoted, raw


def _chunk_bytes(
    store: SqlL1Store, database: PostgresDatabase, visit: VisitInput
) -> bytes:
    """Return the chunks that the visit's reads were served from."""
    layout = store.layout
    found = store._objects.read_current(visit.region, ["diaObjectId"])  # noqa: SLF001
    homes, _ = store._objects.home_pixels_of(found["diaObjectId"])  # noqa: SLF001
    pixels = np.unique(homes)
    here = [(t, Condition("pixel", Op.ONE_OF, pixels))
            for t in (layout.packed_sources, layout.packed_forced)]  # fmt: skip
    if layout.packed_last is not None:
        lows = pixels.astype(np.int64) << layout.packed_last.shift
        ranges = np.stack([lows, lows + (1 << layout.packed_last.shift)], axis=1)
        within = Condition("pixel", Op.IN_RANGES, ranges)
        here.append((layout.packed_last.chunks, within))
    parts = [
        database.select(table, ["data"], [where])["data"].tolist()
        for table, where in here
        if table is not None
    ]
    return b"".join(chunk for part in parts for chunk in part)
