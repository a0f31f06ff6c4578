# ruff: noqa: DTZ001  # times of the original's records are naive, UTC
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from l1db_pipeline.catalog.records import (
    DiaForcedSource,
    DiaObject,
    DiaObject_short,
    DiaSource,
    DiaSource_full,
    RecordError,
    Visit,
    to_catalog,
    to_records,
)
from l1db_pipeline.schema.load import load_schema

SCHEMA = load_schema()
OBJECT = DiaObject(
    1, datetime(2026, 1, 2, 3, 4, 5, 678901), None, datetime(2026, 1, 1),
    10.5, -20.25, *(0.5,) * 15, 4, 0, 2**43,
)  # fmt: skip


@pytest.mark.parametrize(
    ("record_type", "n_fields", "table"),
    [
        (DiaObject_short, 8, "DiaObject"),
        (DiaObject, 24, "DiaObject"),
        (DiaSource, 20, "DiaSource"),
        (DiaSource_full, 108, "DiaSource"),
        (DiaForcedSource, 7, "DiaForcedSource"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_records_have_columns_of_the_schema(
    record_type: type[DiaObject], n_fields: int, table: str
) -> None:
    assert len(record_type._fields) == n_fields
    assert set(record_type._fields) <= set(SCHEMA.table(table).names)


def test_stored_records_give_every_required_column() -> None:
    objects, sources = SCHEMA.table("DiaObject"), SCHEMA.table("DiaSource")

    assert set(objects.required) <= set(DiaObject._fields)
    assert set(sources.required) <= set(DiaSource._fields)
    assert set(DiaSource_full._fields) == set(sources.names)
    assert Visit._fields == ("visitId", "visitTime", "lastObjectId", "lastSourceId")


def test_records_come_back_from_a_catalog() -> None:
    objects = [OBJECT, OBJECT._replace(diaObjectId=2, validityEnd=datetime(2027, 1, 1))]

    catalog = to_catalog(SCHEMA.table("DiaObject"), DiaObject._fields, objects)

    assert catalog["ra"].dtype == np.float64
    assert catalog["raSigma"].dtype == np.float32
    assert catalog.null_mask("validityEnd").tolist() == [True, False]
    assert to_records(catalog, DiaObject) == objects


def test_a_column_of_nulls_stays_one() -> None:
    catalog = to_catalog(SCHEMA.table("DiaObject"), ["validityEnd", "pmRa"], [
        OBJECT, OBJECT._replace(pmRa=None),
    ])  # fmt: skip

    assert catalog.null_mask("validityEnd").all()
    assert catalog.null_mask("pmRa").tolist() == [False, True]


def test_no_records_are_an_empty_catalog_with_types() -> None:
    catalog = to_catalog(SCHEMA.table("DiaSource"), DiaSource._fields, [])

    assert len(catalog) == 0
    assert catalog["diaSourceId"].dtype == np.int64
    assert to_records(catalog, DiaSource) == []


def test_naive_times_are_utc_and_aware_ones_are_turned() -> None:
    east = timezone(timedelta(hours=2))
    times = [
        datetime(2026, 1, 1, 12),
        datetime(2026, 1, 1, 12, tzinfo=UTC),
        datetime(2026, 1, 1, 14, tzinfo=east),
    ]

    catalog = to_catalog(
        SCHEMA.table("DiaObject"),
        ["validityStart"],
        [OBJECT._replace(validityStart=time) for time in times],
    )

    assert set(catalog["validityStart"].tolist()) == {datetime(2026, 1, 1, 12)}


def test_fields_that_are_not_read_are_none() -> None:
    catalog = to_catalog(SCHEMA.table("DiaSource"), ["diaSourceId"], [
        DiaSource(*range(20)),
    ])  # fmt: skip

    (record,) = to_records(catalog, DiaSource)

    assert record == DiaSource(0, *[None] * 19)


def test_numpy_scalars_are_values_like_others() -> None:
    record = OBJECT._replace(
        diaObjectId=np.int64(7), ra=np.float64(1.5), pmParallaxNdata=np.int32(3)
    )

    catalog = to_catalog(SCHEMA.table("DiaObject"), DiaObject._fields, [record])

    assert to_records(catalog, DiaObject) == [record]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("diaObjectId", "1", "record 1: diaObjectId = '1' is not of type long"),
        ("diaObjectId", 1.5, "diaObjectId = .* is not of type long"),
        ("diaObjectId", 2**63, "diaObjectId = .* is not of type long"),
        ("diaObjectId", 2**70, "diaObjectId = .* is not of type long"),
        ("pmParallaxNdata", 2**31, "pmParallaxNdata = .* is not of type int"),
        ("ra", "ten", "record 1: ra = 'ten' is not of type double"),
        ("ra", [1.0], "ra = .* is not of type double"),
        ("validityStart", 59000.5, "validityStart = 59000.5 is not a datetime"),
        ("validityStart", "2026-01-01", "is not a datetime"),
    ],
)
def test_wrong_values_are_named(field: str, value: object, message: str) -> None:
    records = [OBJECT, OBJECT._replace(**{field: value})]

    with pytest.raises(RecordError, match=message):
        to_catalog(SCHEMA.table("DiaObject"), DiaObject._fields, records)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RecordError, match="has no attribute 'diaObjectId'"):
        to_catalog(SCHEMA.table("DiaObject"), DiaObject._fields, [Visit(1, 2, 3, 4)])
