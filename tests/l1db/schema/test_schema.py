from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest

from l1db_pipeline.schema.config import ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Column, Datatype, Index, SchemaError, Table

# spec of the prototype, section 1: columns, NOT NULL columns, bytes with FLOAT = 4
SIZES = {
    "DiaObject": (93, 23, 372),
    "DiaObjectLast": (93, 23, 372),
    "DiaObjectNightly": (93, 23, 372),
    "DiaSource": (108, 19, 500),
    "DiaForcedSource": (7, 6, 40),
    "SSObject": (81, 2, 480),
    "DiaObject_To_Object_Match": (4, 3, 24),
    "L1DbProtoVisits": (2, 2, 16),
}


@pytest.mark.parametrize("name", SIZES)
def test_tables_have_the_widths_of_the_prototype(name: str) -> None:
    table = load_schema().table(name)

    n_bytes = sum(column.datatype.n_bytes or 0 for column in table.columns)
    not_null = sum(not column.nullable for column in table.columns)

    assert (len(table.columns), not_null, n_bytes) == SIZES[name]


def test_the_tables_come_in_the_order_of_the_prototype() -> None:
    assert [table.name for table in load_schema().tables] == list(SIZES)


def test_last_and_nightly_tables_have_the_columns_of_the_objects() -> None:
    schema = load_schema()

    assert schema.table("DiaObjectLast").columns == schema.table("DiaObject").columns
    assert schema.table("DiaObjectNightly").columns == schema.table("DiaObject").columns


@pytest.mark.parametrize(
    ("mode", "name", "primary_key", "indexed"),
    [
        ("baseline", "DiaObject", "diaObjectId validityStart", "validityStart htmId20"),
        (
            "last_object_table",
            "DiaObject",
            "diaObjectId validityStart",
            "validityStart htmId20",
        ),
        (
            "htm20_id_iov",
            "DiaObject",
            "htmId20 diaObjectId validityStart",
            "diaObjectId",
        ),
        ("last_object_table", "DiaObjectLast", "htmId20 diaObjectId", "diaObjectId"),
        ("last_object_table", "DiaObjectNightly", "", ""),
        (
            "baseline",
            "DiaSource",
            "diaSourceId",
            "ccdVisitId diaObjectId ssObjectId htmId20",
        ),
        ("baseline", "DiaForcedSource", "diaObjectId ccdVisitId", "ccdVisitId"),
        ("baseline", "SSObject", "ssObjectId", ""),
        ("baseline", "DiaObject_To_Object_Match", "", "diaObjectId objectId"),
        ("baseline", "L1DbProtoVisits", "visitId", "visitTime"),
    ],
)
def test_keys_are_those_of_the_index_mode(
    mode: str, name: str, primary_key: str, indexed: str
) -> None:
    tables = load_schema().tables_for(ObjectIndex(mode), nightly=True)
    table = next(table for table in tables if table.name == name)

    assert table.primary_key == tuple(primary_key.split())
    assert [index.columns for index in table.indexes] == [
        (column,) for column in indexed.split()
    ]
    assert [index.name for index in table.indexes] == [
        f"IDX_{name}_{column}" for column in indexed.split()
    ]


@pytest.mark.parametrize("mode", ObjectIndex)
def test_the_current_table_exists_in_last_object_table_mode_only(
    mode: ObjectIndex,
) -> None:
    names = {table.name for table in load_schema().tables_for(mode)}

    assert ("DiaObjectLast" in names) == (mode is ObjectIndex.LAST_OBJECT_TABLE)
    assert "DiaObjectNightly" not in names


def test_every_column_is_described() -> None:
    assert not [
        (table.name, column.name)
        for table in load_schema().tables
        for column in table.columns
        if not column.description.endswith(".")
    ]


def test_every_unit_is_one_that_astropy_knows() -> None:
    units = {c.unit for t in load_schema().tables for c in t.columns if c.unit}

    assert "nmgy" in units
    for unit in units:
        u.Unit(unit)


def test_floats_are_four_bytes_and_times_are_microseconds() -> None:
    schema = load_schema()

    assert schema.table("DiaSource").column("apFlux").numpy_dtype == np.float32
    assert schema.table("L1DbProtoVisits").column("visitTime").numpy_dtype == np.dtype(
        "datetime64[us]"
    )


def test_flags_may_be_left_out_of_a_catalog() -> None:
    required = load_schema().table("DiaForcedSource").required

    assert required == ("diaObjectId", "ccdVisitId", "psFlux", "x", "y")


def test_an_unknown_column_is_answered_with_the_known_ones() -> None:
    visits = load_schema().table("L1DbProtoVisits")

    with pytest.raises(SchemaError, match="no column 'visit'; it has visitId, visitT"):
        visits.column("visit")


def test_an_unknown_table_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SchemaError, match="no table 'Object'; it has DiaObject, "):
        load_schema().table("Object")


def test_columns_that_differ_in_case_only_are_refused() -> None:
    columns = (Column("ra", Datatype.DOUBLE), Column("RA", Datatype.DOUBLE))

    with pytest.raises(SchemaError, match="T has ra twice"):
        Table("T", columns)


def test_keys_must_name_columns() -> None:
    visits = load_schema().table("L1DbProtoVisits")

    with pytest.raises(SchemaError, match="unknown columns band"):
        replace(visits, indexes=(Index("IDX_band", ("band",)),))
