"""APDBs of every configuration that these tests use, and catalogs of any schema."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.time
import numpy as np
import pandas as pd
from felis.datamodel import DataType
from lsst.dax.apdb import Apdb
from lsst.dax.apdb.apdbSchema import ApdbSchema, ApdbTables
from lsst.dax.apdb.tests.data_factory import (
    makeForcedSourceCatalog,
    makeObjectCatalog,
    makeSourceCatalog,
)
from lsst.sphgeom import LonLat
from typing_extensions import override

CENTRE = LonLat.fromDegrees(30.0, -20.0)
IDS = list(range(1, 11))
START = astropy.time.Time("2026-11-01T03:00:00", format="isot", scale="tai")


@dataclass(frozen=True)
class Chosen:
    """Backend and options of one APDB."""

    backend: str
    index: str = "last_object_table"
    history: str = "packed"
    is_small: bool = True
    """Whether the schema is the small one of upstream's tests, or today's."""

    @override
    def __str__(self) -> str:
        return f"{self.backend}-{self.index}-{self.history}"

    def options(self) -> dict[str, Any]:
        own = {"dia_object_index": self.index, "history": self.history}
        return own | schema_files(is_small=self.is_small)


CONFIGURATIONS = (
    Chosen("sqlite", index="baseline"),
    Chosen("postgresql", is_small=False),
)
WEEKLY_CONFIGURATIONS = (Chosen("sqlite"), Chosen("sqlite", history="rows"))
DATA = Path(__file__).with_name("data")


def schema_files(*, is_small: bool) -> dict[str, Any]:
    """Return the files of the small schema, or of today's."""
    if is_small:
        names = {"schema_file": "apdb.yaml", "ss_schema_file": "sso.yaml"}
        return {option: str(DATA / name) for option, name in names.items()}
    return {"schema_file": "resource://lsst.sdm.schemas/apdb.yaml"}


def visit_time(number: int) -> astropy.time.Time:
    """Return the time of a visit, of which a double keeps not every digit."""
    return START + astropy.time.TimeDelta(37.123456789 * number, format="sec")


class Catalogs:
    """Random catalogs of a schema: every column, NULLs where they may be."""

    def __init__(self, schema_file: str, seed: int) -> None:
        self._schema = ApdbSchema(schema_file, "")
        self._rng = np.random.default_rng(seed)

    def make(
        self, table: ApdbTables, n_rows: int, given: Mapping[str, Any]
    ) -> pd.DataFrame:
        """Return rows with some columns as given, the others random."""
        columns = {}
        for column in self._schema.tableSchemas[table].columns:
            if column.name.startswith("validity"):
                continue
            if column.name in given:
                columns[column.name] = given[column.name]
                continue
            values = self._values(column.datatype, n_rows)
            is_null = self._rng.random(n_rows) < 0.3
            if column.nullable and isinstance(values, np.ndarray):
                series = pd.Series(values, dtype=column.pandas_type)
                columns[column.name] = series.mask(is_null)
            else:
                columns[column.name] = values
        return pd.DataFrame(columns)

    def _values(self, kind: Any, n_rows: int) -> Any:
        if kind in {DataType.double, DataType.float}:
            return self._rng.normal(size=n_rows) * 1e3
        if kind is DataType.boolean:
            return self._rng.random(n_rows) < 0.5
        if kind in {DataType.long, DataType.int, DataType.short, DataType.byte}:
            return self._rng.integers(0, 100, n_rows)
        return ["a"] * n_rows


def new_place(backend: str, tmp_path: Any, url: str) -> dict[str, Any]:
    """Return where a new APDB is made."""
    if backend == "postgresql":
        return {"db_url": url, "namespace": f"apdb_{secrets.token_hex(6)}"}
    return {"db_url": f"sqlite:///{tmp_path}/{secrets.token_hex(4)}.db"}


def store_visit(apdb: Apdb, number: int, *, detector: int = 1, first: int = 1) -> None:
    """Store a version, a source and a forced source of ten objects at one place."""
    objects = makeObjectCatalog(CENTRE, len(IDS), start_id=first)
    time = visit_time(number)
    visit, offset = number + 1, 1000 * number + 100 * detector
    sources = makeSourceCatalog(objects, time, offset, visit=visit, detector=detector)
    forced = makeForcedSourceCatalog(objects, time, visit=visit, detector=detector)
    apdb.store(time, objects, sources, forced)
