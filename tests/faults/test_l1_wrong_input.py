"""What a store is given is checked whole before anything is written."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from contracts.l1db_sky import START, by, empty, field, key, records, visit_time

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError, MissingColumnsError
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.version import SchemaVersionError
from l1db_pipeline.store.base import L1Store, StoreOutcome, VisitKey, VisitRecords
from l1db_pipeline.store.errors import (
    DatabaseMissingError,
    DuplicateIdError,
    InvalidCatalogError,
    SchemaMismatchError,
    SchemaMissingError,
    StoreClosedError,
    UnknownObjectError,
    VersionExistsError,
)
from l1db_pipeline.store.open import open_store
from visit_tables.time_scales import NaiveTimeError

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
IDS = [1, 2, 3]


@pytest.fixture
def store(config: L1dbConfig) -> Iterator[L1Store]:
    """A store with one visit of three objects."""
    with closing(open_store(config)) as opened:
        opened.create_schema()
        opened.store_visit(key(1), records(1, IDS))
        yield opened


@pytest.fixture(scope="module", params=BACKENDS)
def used_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[L1Store]:
    """A store that many tests use; each leaves one visit more."""
    url = f"sqlite:///{tmp_path_factory.mktemp('used')}/l1.db"
    namespace = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("shared_database_url")
        namespace = f"n{secrets.token_hex(6)}"
    config = L1dbConfig(
        url=url,
        namespace=namespace,
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
    )
    with closing(open_store(config)) as opened:
        opened.create_schema()
        opened.store_visit(key(1), records(1, IDS))
        yield opened


def _with(
    rows: Catalog, nulls: dict[str, Any] | None = None, **columns: Any
) -> Catalog:
    """Return rows with columns replaced or added; `None` takes one away."""
    values: dict[str, Any] = {**rows.columns, **columns}
    kept = {name: np.asarray(v) for name, v in values.items() if v is not None}
    masks = {name: m for name, m in rows.nulls.items() if name in kept}
    return Catalog(kept, {**masks, **(nulls or {})})


def _first(value: Any, rows: Catalog, column: str) -> Any:
    """Return a column whose first value is replaced."""
    values = rows[column].copy()
    values[0] = value(values) if callable(value) else value
    return values


def _second(values: Any) -> Any:
    return values[1]


Change = Callable[[VisitRecords], VisitRecords]


def _objects(column: str, value: Any) -> Change:
    """Return a change of the first value of a column of the objects."""
    return lambda r: replace(
        r, objects=_with(r.objects, **{column: _first(value, r.objects, column)})
    )


def _sources(column: str, value: Any) -> Change:
    return lambda r: replace(
        r, sources=_with(r.sources, **{column: _first(value, r.sources, column)})
    )


def _forced(column: str, value: Any) -> Change:
    return lambda r: replace(
        r,
        forced_sources=_with(
            r.forced_sources, **{column: _first(value, r.forced_sources, column)}
        ),
    )


WRONG: dict[str, tuple[Change, type[L1dbError], str]] = {
    "the same object twice": (
        _objects("diaObjectId", 2), DuplicateIdError, "diaObjectId 2 appears twice",
    ),
    "the same source twice": (
        _sources("diaSourceId", _second), DuplicateIdError, "[0-9]+1 appears twice",
    ),
    "the same forced source twice": (
        _forced("diaObjectId", 2), DuplicateIdError, "diaObjectId 2, ccdV.* appears",
    ),
    "a source of an earlier visit": (
        _sources("diaSourceId", 1_000_000), DuplicateIdError, "in the database already",
    ),
    "a forced source of an earlier visit": (
        _forced("ccdVisitId", 1), DuplicateIdError, "in the database already",
    ),
    "a source without its object": (
        _sources("diaObjectId", 99), UnknownObjectError, "no object 99 is in the visit",
    ),
    "a forced source without its object": (
        _forced("diaObjectId", 99), UnknownObjectError, "no object 99 is in the visit",
    ),
    "NaN as ra": (_objects("ra", np.nan), InvalidCatalogError, "ra=nan is out of"),
    "infinite decl": (_sources("decl", np.inf), InvalidCatalogError, "row 0: decl=inf"),
    "ra of 360": (_objects("ra", 360.0), InvalidCatalogError, "0 <= ra < 360"),
    "negative ra": (_objects("ra", -1e-9), InvalidCatalogError, "0 <= ra < 360"),
    "decl beyond the pole": (
        _sources("decl", -90.000001), InvalidCatalogError, "-90 <= decl <= 90",
    ),
    "an HTM id of another level": (
        _objects("htmId20", 8 * 4**19), InvalidCatalogError, "is not an HTM id of",
    ),
    "text as an id": (
        lambda r: replace(r, objects=_with(r.objects, diaObjectId=["a", "b", "c"])),
        InvalidCatalogError, "diaObjectId: dtype <U1 cannot be stored in an integer",
    ),
    "floats as ids": (
        lambda r: replace(r, objects=_with(r.objects, diaObjectId=[1.5, 2.5, 3.5])),
        InvalidCatalogError, "dtype float64 cannot be stored in an integer column",
    ),
    "a number as a time": (
        lambda r: replace(r, objects=_with(r.objects, lastNonForcedSource=[1, 2, 3])),
        InvalidCatalogError, "dtype int64 cannot be stored in a time column",
    ),
    "a time that is none": (
        _objects("lastNonForcedSource", np.datetime64("NaT")),
        InvalidCatalogError, "NaT in rows 0",
    ),
    "an integer that does not fit": (
        lambda r: replace(
            r, objects=_with(r.objects, pmParallaxNdata=np.array([1, 2, 2**31]))
        ),
        InvalidCatalogError, "2147483648 in row 2 does not fit int32",
    ),
    "an unsigned id that does not fit": (
        lambda r: replace(
            r,
            sources=_with(
                r.sources, ssObjectId=np.array([1, 2, 2**63], dtype=np.uint64)
            ),
        ),
        InvalidCatalogError, "ssObjectId",
    ),
    "a float that does not fit": (
        lambda r: replace(r, sources=_with(r.sources, apFlux=np.array([1.0, 2, 1e39]))),
        InvalidCatalogError, "1e[+]39 in row 2 does not fit float32",
    ),
    "two dimensions": (
        lambda r: replace(r, sources=_with(r.sources, apFlux=np.zeros((3, 2)))),
        InvalidCatalogError, "shape .3, 2.",
    ),
    "NULL where none is allowed": (
        lambda r: replace(
            r, objects=_with(r.objects, {"raSigma": np.array([True, False, False])})
        ),
        InvalidCatalogError, "raSigma: NULL in rows 0",
    ),
    "text in a blob": (
        lambda r: replace(
            r,
            objects=_with(r.objects, uLcPeriodic=np.array(["a", "b", "c"], object)),
        ),
        InvalidCatalogError, "row 0 has a str: nothing was stored: give bytes|str",
    ),
    "a blob that is too long": (
        lambda r: replace(
            r,
            objects=_with(r.objects, uLcPeriodic=np.array([b"x" * 129] * 3, object)),
        ),
        InvalidCatalogError, "row 0 has length 129",
    ),
    "a missing column": (
        lambda r: replace(r, sources=_with(r.sources, apFlux=None, snr=None)),
        MissingColumnsError, "DiaSource catalog lacks apFlux, snr",
    ),
    "an unknown column": (
        lambda r: replace(r, objects=_with(r.objects, redshift=np.zeros(3))),
        InvalidCatalogError, "unknown columns redshift; .*the table has diaObjectId",
    ),
    "a column of the store itself": (
        lambda r: replace(r, sources=_with(r.sources, l1VisitId=np.zeros(3, np.int64))),
        InvalidCatalogError, "unknown columns l1VisitId",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_visit_is_refused_and_the_database_is_as_before(
    used_store: L1Store, change: Change, kind: type[L1dbError], message: str
) -> None:
    before = used_store.row_counts(), used_store.science_digest()
    visit_id = before[0]["L1Ledger"] + 1

    with pytest.raises(kind, match=message):
        used_store.store_visit(key(visit_id), change(records(visit_id, IDS)))

    assert (used_store.row_counts(), used_store.science_digest()) == before
    stored = used_store.store_visit(key(visit_id), records(visit_id, IDS))
    assert stored is StoreOutcome.STORED


NAIVE = START.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("visit", "message"),
    [
        (VisitKey(visit_id=-1, time=START), "not a 64-bit number >= 0"),
        (VisitKey(visit_id=2**63, time=START), "not a 64-bit number >= 0"),
        (VisitKey(visit_id=2, time=START, tile="t" * 33), "33 characters"),
        (VisitKey(visit_id=2, time=START, n_tiles=-1), "n_tiles is -1"),
        (VisitKey(visit_id=2, time=START, n_tiles=10**7), "n_tiles is 10000000"),
    ],
)
def test_a_wrong_key_is_refused(store: L1Store, visit: VisitKey, message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        store.store_visit(visit, records(2, IDS))

    assert store.row_counts()["DiaObject"] == 3


def test_naive_times_are_refused(store: L1Store) -> None:
    with pytest.raises(NaiveTimeError, match=r"visit 2: .* has no time zone: pass an"):
        store.store_visit(VisitKey(visit_id=2, time=NAIVE), records(2, IDS))
    with pytest.raises(NaiveTimeError, match="has no time zone"):
        store.read_sources(region=field(), since=NAIVE)
    with pytest.raises(NaiveTimeError, match="has no time zone"):
        store.read_forced_sources(region=field(), until=NAIVE)
    with pytest.raises(NaiveTimeError, match="has no time zone"):
        store.read_objects(field(), at=NAIVE)


def test_reads_refuse_unknown_columns(store: L1Store) -> None:
    with pytest.raises(InvalidCatalogError, match=r"no columns redshift; .*it has dia"):
        store.read_objects(field(), columns=["redshift"])
    with pytest.raises(InvalidCatalogError, match="no columns redshift"):
        store.read_sources(region=field(), columns=["redshift"])


def test_history_of_nothing_in_particular_is_refused(store: L1Store) -> None:
    with pytest.raises(InvalidCatalogError, match="neither region nor object_ids"):
        store.read_sources()


def test_times_of_any_zone_are_the_same_instant(store: L1Store) -> None:
    east = timezone(timedelta(hours=5, minutes=30))

    store.store_visit(
        VisitKey(visit_id=2, time=visit_time(2).astimezone(east)), records(2, IDS)
    )

    last = store.last_visit()
    assert last is not None
    assert last.time == visit_time(2)
    assert last.time.tzinfo is UTC


def test_visit_ids_may_go_backwards(store: L1Store) -> None:
    store.store_visit(key(0, night=5), records(0, IDS, night=5))

    last = store.last_visit()
    assert last is not None
    assert (last.visit_id, last.time) == (0, visit_time(5))
    assert store.verify() == []


def test_two_visits_of_one_time_may_not_share_an_object(store: L1Store) -> None:
    before = store.row_counts()

    with pytest.raises(VersionExistsError, match=r"starts at .* already"):
        store.store_visit(key(2, night=1), records(2, IDS, night=1))

    assert store.row_counts() == before


def test_empty_catalogs_are_allowed_with_columns_or_without(store: L1Store) -> None:
    none = np.zeros(3, dtype=np.bool_)
    full = records(2, IDS)
    emptied = VisitRecords(
        objects=full.objects.take(none),
        sources=full.sources.take(none),
        forced_sources=full.forced_sources.take(none),
    )

    assert store.store_visit(key(2), emptied) is StoreOutcome.STORED
    assert store.store_visit(key(2), empty()) is StoreOutcome.ALREADY_STORED


def test_columns_of_wider_types_are_narrowed_if_they_fit(store: L1Store) -> None:
    wide = records(2, IDS)
    sources = _with(
        wide.sources,
        diaSourceId=wide.sources["diaSourceId"].astype(np.uint64),
        apFlux=wide.sources["apFlux"].astype(np.float64),
        x=np.array([1, 2, 3], dtype=np.int16),
    )

    store.store_visit(key(2), replace(wide, sources=sources))

    found = by(store.read_sources(region=field(), since=visit_time(2)), "diaSourceId")
    assert found["apFlux"].dtype == np.float32
    assert found["x"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"dia_object_index": ObjectIndex.BASELINE}, "dia_object_index"),
        ({"dia_object_nightly": True}, "dia_object_nightly"),
        ({"history": History.ROWS}, "history"),
        ({"history_pixel_level": 4}, "history_pixel_level"),
        ({"cell_level": 10}, "cell_level"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tables_made_with_other_options_are_refused(
    store: L1Store, config: L1dbConfig, other: dict[str, Any], name: str
) -> None:
    assert store.row_counts()["DiaObject"] == 3
    with (
        closing(open_store(replace(config, **other))) as opened,
        pytest.raises(SchemaMismatchError, match=f"was made with {name} .*says "),
    ):
        opened.store_visit(key(2), records(2, IDS))


def test_tables_are_not_added_for_other_options(config: L1dbConfig) -> None:
    baseline = replace(config, dia_object_index=ObjectIndex.BASELINE)
    with closing(open_store(baseline)) as opened:
        opened.create_schema()

    with (
        closing(open_store(config)) as opened,
        pytest.raises(SchemaMismatchError, match="was made with dia_object_index base"),
    ):
        opened.create_schema()

    engine = sa.create_engine(config.url, poolclass=sa.NullPool)
    assert "DiaObjectLast" not in sa.inspect(engine).get_table_names()


def test_tables_of_another_program_are_not_mixed_with_ours(config: L1dbConfig) -> None:
    engine = sa.create_engine(config.url, poolclass=sa.NullPool)
    foreign = sa.Table("DiaObject", sa.MetaData(), sa.Column("diaObjectId", sa.Integer))
    foreign.create(engine)

    with closing(open_store(config)) as opened:
        with pytest.raises(
            SchemaVersionError, match=r"without a schema revision.*drop"
        ):
            opened.create_schema()
        assert sa.inspect(engine).get_table_names() == ["DiaObject"]

        opened.create_schema(drop=True)
        assert opened.last_visit() is None


def test_a_database_without_tables_is_told_how_to_make_them(config: L1dbConfig) -> None:
    with (
        closing(open_store(config)) as opened,
        pytest.raises(
            (SchemaMissingError, DatabaseMissingError),
            match=r"create (them|the database) with create_l1_schema",
        ),
    ):
        opened.read_objects(field())


def test_a_closed_store_says_so(store: L1Store) -> None:
    store.close()
    store.close()

    with pytest.raises(StoreClosedError, match="open it again"):
        store.read_objects(field())
    with pytest.raises(StoreClosedError, match="open it again"):
        store.store_visit(key(2), records(2, IDS))


@pytest.mark.parametrize(
    "time",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_times_at_the_ends_of_the_range_come_back(
    store: L1Store, time: datetime
) -> None:
    store.store_visit(VisitKey(visit_id=2, time=time), records(2, [9]))

    curve = store.light_curve(9)
    assert curve.versions["validityStart"][0] == np.datetime64(
        time.replace(tzinfo=None), "us"
    )
