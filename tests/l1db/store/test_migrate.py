import gzip
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from contracts.l1db_sky import key, records

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.version import (
    SCHEMA_REVISION,
    VERSION_COLUMN,
    SchemaVersionError,
)
from l1db_pipeline.store.open import open_sql_store, open_store
from l1db_pipeline.store.sql_store import SqlL1Store
from l1db_pipeline.store.tables.last_chunks import LastChunks
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.rows import public_columns, with_constants
from l1db_pipeline.store.tables.tiers import TOP_TIER
from l1db_pipeline.store.upkeep import compact as compact_module
from l1db_pipeline.store.upkeep.migrate import (
    MigrationError,
    current_revision,
    migrate,
    revisions,
)

NEXT = """'''Add a band to the sources.'''
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9001", "{newest}"


def upgrade() -> None:
    options = op.get_context().opts
    op.add_column(
        options["table_prefix"] + "DiaSource",
        sa.Column("band", sa.String(1)),
        schema=options["namespace"],
    )
    {more}


def downgrade() -> None:
    options = op.get_context().opts
    op.drop_column(
        options["table_prefix"] + "DiaSource", "band", schema=options["namespace"]
    )
"""

BACKENDS = ["sqlite", pytest.param("pg", marks=pytest.mark.postgresql)]


@pytest.fixture
def next_revision(tmp_path: Path) -> Path:
    folder = tmp_path / "more 100%"
    folder.mkdir()
    text = NEXT.format(newest=SCHEMA_REVISION, more="")
    (folder / "9001_band.py").write_text(text)
    return folder


def _make(config: L1dbConfig, revision: str = SCHEMA_REVISION) -> L1dbConfig:
    """Make a table and the version table as a store of ``revision`` has them."""
    engine = sa.create_engine(config.url, poolclass=sa.NullPool)
    metadata = sa.MetaData(schema=config.namespace or None)
    prefix = config.prefix
    sa.Table(prefix + "DiaSource", metadata, sa.Column("diaSourceId", sa.BigInteger))
    version = sa.Table(
        prefix + "L1SchemaVersion",
        metadata,
        sa.Column("version_num", sa.String(32), primary_key=True),
    )
    with engine.begin() as connection:
        if config.namespace:
            connection.execute(sa.schema.CreateSchema(config.namespace))
        metadata.create_all(connection)
        connection.execute(version.insert(), {"version_num": revision})
    return config


def _columns(config: L1dbConfig) -> list[str]:
    engine = sa.create_engine(config.url, poolclass=sa.NullPool)
    name, namespace = config.prefix + "DiaSource", config.namespace or None
    found = sa.inspect(engine).get_columns(name, schema=namespace)
    return [column["name"] for column in found]


def _config(request: pytest.FixtureRequest, tmp_path: Path, backend: str) -> L1dbConfig:
    """Return an empty database with a prefix and where possible a schema."""
    if backend == "sqlite":
        return L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db", prefix="run_")
    url = request.getfixturevalue("database_url")
    return L1dbConfig(url=url, prefix="run_", namespace="l1")


@pytest.fixture(params=BACKENDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> L1dbConfig:
    """A database at the newest revision."""
    return _make(_config(request, tmp_path, request.param))


def test_the_newest_revision_is_the_one_that_this_package_writes() -> None:
    assert revisions()[-1][0] == SCHEMA_REVISION


def test_a_new_database_needs_no_migration(config: L1dbConfig) -> None:
    assert current_revision(config) == SCHEMA_REVISION
    assert migrate(config) == (SCHEMA_REVISION, SCHEMA_REVISION)


def test_a_database_is_carried_forward_and_back(
    config: L1dbConfig, next_revision: Path
) -> None:
    more = [next_revision]

    assert migrate(config, "9001", more=more) == (SCHEMA_REVISION, "9001")
    assert _columns(config) == ["diaSourceId", "band"]
    assert migrate(config, more=more) == ("9001", SCHEMA_REVISION)
    assert _columns(config) == ["diaSourceId"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_store_opens_only_its_own_revision(
    request: pytest.FixtureRequest, tmp_path: Path, next_revision: Path, backend: str
) -> None:
    config = _config(request, tmp_path, backend)
    with closing(open_store(config)) as store:
        store.create_schema()
    assert migrate(config) == (SCHEMA_REVISION, SCHEMA_REVISION)

    migrate(config, "9001", more=[next_revision])
    with (
        closing(open_store(config)) as store,
        pytest.raises(SchemaVersionError, match=r"has schema revision 9001, this pack"),
    ):
        store.last_visit()

    migrate(config, more=[next_revision])
    with closing(open_store(config)) as store:
        assert store.last_visit() is None


def test_a_database_of_a_newer_package_is_left_alone(
    config: L1dbConfig, next_revision: Path
) -> None:
    migrate(config, "9001", more=[next_revision])

    with pytest.raises(SchemaVersionError, match=r"9001.*use the version of this pack"):
        migrate(config)

    assert _columns(config) == ["diaSourceId", "band"]


def test_a_revision_that_does_not_exist_is_answered_with_those_that_do(
    config: L1dbConfig,
) -> None:
    with pytest.raises(
        MigrationError, match=f"no revision 42; known: .*{SCHEMA_REVISION}"
    ):
        migrate(config, "42")


@pytest.mark.postgresql
def test_a_failed_step_changes_nothing(database_url: str, next_revision: Path) -> None:
    config = _make(L1dbConfig(url=database_url))
    text = NEXT.format(newest=SCHEMA_REVISION, more='op.drop_table("none")')
    (next_revision / "9001_band.py").write_text(text)

    with pytest.raises(MigrationError, match='table "none" does not exist'):
        migrate(config, "9001", more=[next_revision])

    assert current_revision(config) == SCHEMA_REVISION
    assert _columns(config) == ["diaSourceId"]


def test_an_empty_database_is_told_how_to_make_tables(tmp_path: Path) -> None:
    (tmp_path / "l1.db").touch()

    with pytest.raises(
        MigrationError, match="no L1 tables: create them with create_l1"
    ):
        migrate(L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db"))


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l1.db") as connection:
        connection.execute('CREATE TABLE "DiaObject" ("diaObjectId" INTEGER)')
    connection.close()

    with pytest.raises(MigrationError, match="they are not of this package"):
        migrate(L1dbConfig(url=f"sqlite:///{tmp_path}/l1.db"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cr3t@127.0.0.1:1/l1db",
        "sqlite:////nowhere/at/all.db",
        "nodatabase://me:s3cr3t@host/l1db",
        "postgresql+psycopg://me:s3cr3t@host:port/l1db",
    ],
)
def test_a_database_out_of_reach_is_named_without_its_password(url: str) -> None:
    with pytest.raises(L1dbError) as caught:
        migrate(L1dbConfig(url=url))

    assert "s3cr3t" not in str(caught.value)
    assert str(caught.value).startswith(url.split(":", 1)[0])


def _rows_of_last(store: SqlL1Store, config: L1dbConfig) -> None:
    """Carry a store back to revision 0001: current objects in rows."""
    packed, database = store.layout.packed_last, store._database
    assert packed is not None
    last = Layout.of(load_schema(), replace(config, history=History.ROWS)).last
    assert last is not None
    names = [n for n in public_columns(last) if n != "validityEnd"]
    with database.transaction(write=True):
        rows = store._objects.current.in_pixels(
            np.array(sorted(database.count_by(store.layout.objects, HOME_PIXEL))),
            [*names, VISIT_ID, VISIT_TIME],
        )
        database.create(last)
        database.append(last, with_constants(rows, {HOME_PIXEL: np.int32(0)}))
        for table in (*packed.tables, store.layout.cells):
            database.drop(table)
        version = store.layout.version
        database.set_value(version, VERSION_COLUMN, "0001", [])
    _drop_tiers(store, config)
    if config.url.startswith("postgresql"):
        statement = (
            f'ALTER TABLE "{config.prefix}DiaObject" '
            f'ADD CONSTRAINT "PK_{config.prefix}DiaObject" '
            'PRIMARY KEY ("validityStart", "l1HomePixel", "diaObjectId")'
        )
        engine = sa.create_engine(config.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(statement))


def _drop_tiers(store: SqlL1Store, config: L1dbConfig) -> None:
    engine = sa.create_engine(config.url, poolclass=sa.NullPool)
    quote = engine.dialect.identifier_preparer.quote
    with engine.begin() as connection:
        for packed in (store.layout.packed_sources, store.layout.packed_forced):
            assert packed is not None
            name = quote(config.prefix + packed.name)
            connection.execute(sa.text(f"ALTER TABLE {name} DROP COLUMN tier"))


@pytest.mark.parametrize("is_interrupted", [False, True])
@pytest.mark.parametrize(
    "backend",
    [*BACKENDS, pytest.param("mariadb_url", marks=pytest.mark.mariadb)],
)
def test_current_objects_in_rows_become_chunks(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    is_interrupted: bool,
) -> None:
    fixture = "database_url" if backend == "pg" else backend
    url = f"sqlite:///{tmp_path}/l1.db"
    if backend != "sqlite":
        url = request.getfixturevalue(fixture)
    last_mode = ObjectIndex.LAST_OBJECT_TABLE
    prefix = f"old{is_interrupted:d}_"
    config = L1dbConfig(url=url, prefix=prefix, dia_object_index=last_mode)
    with closing(open_sql_store(config)) as store:
        store.create_schema()
        for visit_id in (1, 2):
            ids = np.arange(1, 30) * visit_id
            moved = records(visit_id, ids, moved_deg=0.4 * visit_id)
            store.store_visit(key(visit_id), moved)
        digest = store.science_digest()
        _rows_of_last(store, config)
    with closing(open_store(config)) as store, pytest.raises(SchemaVersionError):
        store.last_visit()

    if is_interrupted:
        with monkeypatch.context() as patch:
            patch.setattr(SqlL1Store, "finish_migration", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                migrate(config)
        with (
            closing(open_store(config)) as store,
            pytest.raises(SchemaVersionError, match="run l1db migrate"),
        ):
            store.last_visit()
    migrate(config)

    with closing(open_store(config)) as store:
        assert store.verify() == []
        assert store.science_digest() == digest
        store.store_visit(key(3), records(3, np.arange(1, 30)))
        assert store.verify() == []
    if not is_interrupted and backend != "mariadb_url":
        with pytest.raises(MigrationError, match="do not return to their first format"):
            migrate(config, "0001")


def _interrupt(_: SqlL1Store) -> None:
    raise KeyboardInterrupt


RECORDED = Path(__file__).parents[1] / "data"
"""Databases that revision 0002 wrote: eight visits, two late, three compacted."""
RECORDED_DIGEST = {
    "versions": "174:e32264a3eeddba97ea26acdf045d3b50",
    "objects": "61:2555274e098b8fb381ec730db3d4f395",
    "DiaSource": "174:d01dafcff9943eed7125b631ec11c3f1",
    "DiaForcedSource": "174:86a20be202ed17928d8cefbcb169037d",
}


def _recorded(backend: str, url: str) -> L1dbConfig:
    """Fill an empty database with what revision 0002 wrote."""
    text = gzip.decompress((RECORDED / f"revision_0002_{backend}.sql.gz").read_bytes())
    script = text.decode()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if backend == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database))) as connection:
            connection.executescript(script)
    else:
        lines = script.splitlines()
        script = "\n".join(n for n in lines if not n.startswith(("\\", "--")))
        with engine.begin() as opened:
            for statement in script.split(";\n"):
                if statement.strip():
                    opened.exec_driver_sql(statement.replace("%", "%%"))
    index = ObjectIndex.LAST_OBJECT_TABLE
    return L1dbConfig(url=url, dia_object_index=index)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ]
)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> L1dbConfig:
    """A database of revision 0002, as that revision's package left it."""
    backend = str(request.param)
    url = f"sqlite:///{tmp_path}/l1.db"
    if backend != "sqlite":
        url = request.getfixturevalue("database_url")
    return _recorded(backend, url)


def _check_migrated(config: L1dbConfig) -> None:
    with closing(open_sql_store(config)) as store:
        assert store.science_digest() == RECORDED_DIGEST
        assert store.verify() == []
        for visit_id in range(50, 64):
            ids = np.arange(2, 60, 3)
            store.store_visit(key(visit_id), records(visit_id, ids, moved_deg=0.2))
        assert store.verify() == []
        # chunks of format 1 were merged with those of today
        packed = store.layout.packed_sources
        assert packed is not None
        tiers = store._database.count_by(packed, "tier")
        assert set(tiers) >= {1, TOP_TIER}


def test_a_recorded_database_is_carried_to_tiers(recorded: L1dbConfig) -> None:
    assert migrate(recorded) == ("0002", SCHEMA_REVISION)

    _check_migrated(recorded)


def test_a_migration_is_resumed_from_each_of_its_statements(tmp_path: Path) -> None:
    made = tmp_path / "made.db"
    _recorded("sqlite", f"sqlite:///{made}")
    index = ObjectIndex.LAST_OBJECT_TABLE

    is_done, n_cuts = False, 0
    while not is_done:
        path = tmp_path / f"cut_{n_cuts}.db"
        shutil.copy(made, path)
        config = L1dbConfig(url=f"sqlite:///{path}", dia_object_index=index)
        is_done = _migrate_until(config, n_cuts)
        if not is_done:
            with closing(open_store(config)) as store, pytest.raises(L1dbError):
                store.last_visit()
            migrate(config)
        with closing(open_store(config)) as store:
            assert store.science_digest() == RECORDED_DIGEST
            assert store.verify() == []
        n_cuts += 1
    assert n_cuts > 10


def _migrate_until(config: L1dbConfig, n_statements: int) -> bool:
    """Migrate, but stop before the change after so many; tell whether there is none."""
    left = n_statements

    def stop(*given: Any) -> None:
        nonlocal left
        statement = str(given[2])
        if not statement.startswith(("SELECT", "PRAGMA")):
            if not left:
                raise KeyboardInterrupt
            left -= 1

    sa.event.listen(sa.Engine, "before_cursor_execute", stop)
    try:
        migrate(config)
    except KeyboardInterrupt:
        return False
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", stop)
    return True


def test_a_migration_is_resumed_from_the_middle_of_its_data(
    recorded: L1dbConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact_module, "_PIXELS_AT_ONCE", 1)
    rebuild, n_calls = LastChunks.rebuild, 0

    def rebuild_once(self: LastChunks, pixels: Any, latest: Catalog) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise KeyboardInterrupt
        rebuild(self, pixels, latest)

    monkeypatch.setattr(LastChunks, "rebuild", rebuild_once)
    with pytest.raises(KeyboardInterrupt):
        migrate(recorded)
    with (
        closing(open_store(recorded)) as store,
        pytest.raises(SchemaVersionError, match="run l1db migrate"),
    ):
        store.last_visit()

    migrate(recorded)

    assert n_calls > 2
    _check_migrated(recorded)
