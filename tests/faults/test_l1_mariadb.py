"""What is peculiar to MariaDB: no NaN, kind comparisons, its own ways to fail."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts.l1db_sky import field, key, records
from sqlalchemy import NullPool, create_engine, make_url, text

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.base import StoreOutcome, VisitRecords
from l1db_pipeline.store.errors import (
    DatabaseError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    InvalidCatalogError,
)
from l1db_pipeline.store.open import open_sql_store
from l1db_pipeline.store.sql_store import SqlL1Store

pytestmark = pytest.mark.mariadb
IDS = [1, 2, 3]


@pytest.fixture
def config(mariadb_url: str) -> L1dbConfig:
    return L1dbConfig(
        url=mariadb_url,
        prefix=f"p{secrets.token_hex(4)}_",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        history=History.ROWS,
    )


@pytest.fixture
def store(config: L1dbConfig) -> Iterator[SqlL1Store]:
    """A store with one visit of three objects."""
    with closing(open_sql_store(config)) as opened:
        opened.create_schema()
        opened.store_visit(key(1), records(1, IDS))
        yield opened


def _with_flux(value: float) -> VisitRecords:
    visit = records(2, IDS)
    flux = visit.sources["apFlux"].copy()
    flux[0] = value
    ra_sigma = np.array([value, 1.0, 2.0], dtype=np.float32)
    columns = {**visit.sources.columns, "apFlux": flux, "raSigma": ra_sigma,
               "psRa": np.array([value, 1e-300, 0.1])}  # fmt: skip
    return replace(visit, sources=Catalog(columns, visit.sources.nulls))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.1, 1e-40, -3e38])
def test_every_float_comes_back(store: SqlL1Store, value: float) -> None:
    visit = _with_flux(value)

    store.store_visit(key(2), visit)

    found = store.read_sources(region=field(), since=key(2).time)
    found = found.take(np.argsort(found["diaSourceId"]))
    for name in ("apFlux", "raSigma", "psRa"):
        np.testing.assert_array_equal(found[name], visit.sources[name])
    assert store.verify() == []


def test_values_that_stand_for_nan_are_refused(store: SqlL1Store) -> None:
    before = store.row_counts()

    with pytest.raises(InvalidCatalogError, match="is kept for NaN and infinity"):
        store.store_visit(key(2), _with_flux(float(np.finfo(np.float32).min)))

    assert store.row_counts() == before


def test_names_differ_by_case_and_by_trailing_spaces(store: SqlL1Store) -> None:
    for name, value in (("seed", "1"), ("Seed", "2"), ("seed ", "3")):
        assert store.put_setting(name, value) == value

    assert [store.get_setting(n) for n in ("seed", "Seed", "seed ")] == ["1", "2", "3"]


def test_a_reader_of_a_read_only_server_is_told_so(store: SqlL1Store) -> None:
    store._database._execute("SET SESSION TRANSACTION READ ONLY")  # type: ignore[attr-defined]

    assert len(store.read_objects(field())) == 3
    with pytest.raises(DatabaseReadOnlyError, match="nothing was stored"):
        store.store_visit(key(2), records(2, IDS))


def test_a_connection_that_is_killed_is_named_and_a_new_one_serves(
    store: SqlL1Store, config: L1dbConfig
) -> None:
    thread = store._database._connection.thread_id()  # type: ignore[attr-defined]
    engine = create_engine(config.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"KILL {int(thread)}"))

    with pytest.raises(DatabaseUnavailableError):
        store.store_visit(key(2), records(2, IDS))

    with closing(open_sql_store(config)) as again:
        assert again.verify() == []
        assert again.store_visit(key(2), records(2, IDS)) is StoreOutcome.STORED


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"database": "none"}, DatabaseUnavailableError),
        ({"username": "nobody", "password": "s3cr3t"}, DatabaseUnavailableError),
        ({"query": {"unix_socket": "/nowhere"}}, DatabaseUnavailableError),
    ],
    ids=["no database", "no account", "no server"],
)
def test_a_server_out_of_reach_is_named_without_secrets(
    mariadb_url: str, change: dict[str, object], kind: type[DatabaseError]
) -> None:
    url = make_url(mariadb_url).set(**change)  # type: ignore[arg-type]  # as named above

    with pytest.raises(kind) as caught:
        open_sql_store(L1dbConfig(url=url.render_as_string(hide_password=False)))

    assert "s3cr3t" not in str(caught.value)


TILE = """
import sys
from contracts.l1db_sky import key, records
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.open import open_sql_store

url, prefix, tile = sys.argv[1:]
store = open_sql_store(L1dbConfig(
    url=url, prefix=prefix, history=History.PACKED,
    dia_object_index=ObjectIndex.LAST_OBJECT_TABLE))
for visit in range(2, 7):
    first = 1 + 400 * int(tile)
    part = records(visit, range(first, first + 400))
    part.sources["diaSourceId"][:] += first
    store.store_visit(key(visit, tile=tile, n_tiles=3), part)
"""


def test_tiles_that_are_stored_together_do_not_hinder_each_other(
    mariadb_url: str,
) -> None:
    config = L1dbConfig(
        url=mariadb_url,
        prefix=f"p{secrets.token_hex(4)}_",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
    )
    with closing(open_sql_store(config)) as opened:
        opened.create_schema()
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, str(Path(tests).parent)])

    tiles = [
        subprocess.Popen(
            [sys.executable, "-c", TILE, config.url, config.prefix, str(tile)],
            env={**os.environ, "PYTHONPATH": path},
        )
        for tile in range(3)
    ]

    assert [tile.wait(120) for tile in tiles] == [0, 0, 0]
    with closing(open_sql_store(config)) as opened:
        assert opened.row_counts()["DiaSource"] == 5 * 1200
        assert opened.row_counts()["L1DbProtoVisits"] == 5
        assert opened.verify() == []
