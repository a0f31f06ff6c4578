"""What may be stored, at the edges: checked without any database."""

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import numpy as np
import pytest
from contracts.l1db_sky import START, key, records

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError, MissingColumnsError
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Column, Datatype
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.base import VisitKey, VisitRecords
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import DuplicateIdError, InvalidCatalogError
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.validate import CheckedVisit, check_visit
from visit_tables.time_scales import NaiveTimeError

LAYOUT = Layout.of(load_schema(None), L1dbConfig(url="memory:"))
IDS = [1, 2, 3]
T, F = True, False


def objects(nulls: dict[str, Any] | None = None, **columns: Any) -> VisitRecords:
    """Return a visit of three objects, columns replaced; `None` takes one away."""
    whole = records(1, IDS)
    values: dict[str, Any] = {**whole.objects.columns, **columns}
    kept = {name: np.asarray(v) for name, v in values.items() if v is not None}
    masks = {**whole.objects.nulls, **(nulls or {})}
    masks = {name: np.asarray(mask) for name, mask in masks.items() if name in kept}
    return replace(whole, objects=Catalog(kept, masks))


def sources(nulls: dict[str, Any] | None = None, **columns: Any) -> VisitRecords:
    whole = records(1, IDS)
    given = {name: np.asarray(mask) for name, mask in (nulls or {}).items()}
    masks = {**whole.sources.nulls, **given}
    return replace(whole, sources=Catalog({**whole.sources.columns, **columns}, masks))


def checked(given: VisitRecords, layout: Layout = LAYOUT) -> CheckedVisit:
    return check_visit(layout, key(1), given)


def with_column(column: Column) -> Layout:
    """Return a layout whose DiaObject begins with a column more."""
    columns = (column, *LAYOUT.objects.columns)
    return replace(LAYOUT, objects=replace(LAYOUT.objects, columns=columns))


@pytest.mark.parametrize("ra", [0.0, -0.0, 0.25, 0.5, 1.0, 180.0, 359.9999999])
@pytest.mark.parametrize("decl", [-90.0, -89.5, 0.0, 0.5, 90.0])
def test_every_position_on_the_sphere_is_stored_where_it_is(
    ra: float, decl: float
) -> None:
    given = objects(ra=np.full(3, ra), decl=np.full(3, decl), htmId20=None)

    found = checked(given).objects

    assert found["ra"].tolist() == [ra] * 3
    assert found["decl"].tolist() == [decl] * 3
    expected = htm_index(radec_to_xyz(np.full(3, ra), np.full(3, decl)))
    assert found["htmId20"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("column", "value", "limits"),
    [
        ("ra", np.nextafter(0, -1), "0 <= ra < 360"),
        ("ra", 360.0, "0 <= ra < 360"),
        ("ra", np.nan, "0 <= ra < 360"),
        ("decl", np.nextafter(90, 91), "-90 <= decl <= 90"),
        ("decl", np.nextafter(-90, -91), "-90 <= decl <= 90"),
        ("decl", np.nan, "-90 <= decl <= 90"),
    ],
)
def test_a_position_off_the_sphere_is_refused_with_its_row(
    column: str, value: float, limits: str
) -> None:
    values = np.array([10.0, value, value])

    with pytest.raises(
        InvalidCatalogError,
        match=rf"visit 1 DiaObject column {column}: row 1: {column}=.*{limits}",
    ):
        checked(objects(None, **{column: values}))


def test_htm_ids_of_the_whole_of_level_20_are_taken_and_no_others() -> None:
    first, end = 8 * 4**20, 16 * 4**20

    found = checked(objects(htmId20=np.array([first, end - 1, first]))).objects

    assert found["htmId20"].tolist() == [first, end - 1, first]
    for wrong in (first - 1, end):
        with pytest.raises(InvalidCatalogError, match=rf"htmId20: row 1: {wrong} is"):
            checked(objects(htmId20=np.array([first, wrong, wrong])))


def test_a_visit_without_htm_ids_gets_those_of_its_positions() -> None:
    given = records(1, IDS)

    found = checked(objects(htmId20=None)).objects

    assert found["htmId20"].tolist() == given.objects["htmId20"].tolist()


def test_a_table_without_positions_needs_none() -> None:
    unplaced = replace(
        LAYOUT.objects,
        columns=tuple(c for c in LAYOUT.objects.columns if c.name != "htmId20"),
        indexes=(),
        keys_by_mode={},
    )

    found = checked(
        objects(ra=np.full(3, 999.0), htmId20=None), replace(LAYOUT, objects=unplaced)
    )

    assert found.objects["ra"].tolist() == [999.0] * 3


@pytest.mark.parametrize("column", ["ra", "decl"])
def test_a_catalog_without_a_required_position_is_refused(column: str) -> None:
    with pytest.raises(MissingColumnsError, match=f"DiaObject catalog lacks {column}"):
        checked(objects(**{column: None}))


def test_all_missing_columns_are_named() -> None:
    with pytest.raises(MissingColumnsError, match="lacks decl, ra"):
        checked(objects(ra=None, decl=None))


def test_the_store_sets_validity_itself() -> None:
    given = objects(validityStart=np.zeros(3, "datetime64[us]"))

    found = checked(given).objects

    assert "validityStart" not in found
    assert "validityStart" not in checked(replace(given, objects=Catalog({}))).objects


def test_an_empty_catalog_has_every_column_but_those_of_the_store() -> None:
    empty = Catalog({})
    nothing = VisitRecords(objects=empty, sources=empty, forced_sources=empty)

    found = checked(nothing)

    for rows, table in (
        (found.objects, LAYOUT.objects),
        (found.sources, LAYOUT.sources),
        (found.forced, LAYOUT.forced),
    ):
        own = {"l1HomePixel", "l1VisitId", "l1VisitTime"}
        names = [n for n in table.names if n not in own | {"validityStart"}]
        assert list(rows.names) == [n for n in names if n != "validityEnd"]
        assert all(
            rows[name].dtype == table.column(name).numpy_dtype for name in rows.names
        )


def test_an_absent_column_takes_the_default_of_the_schema() -> None:
    layout = with_column(Column("grade", Datatype.SHORT, nullable=False, default=4))

    found = checked(objects(), layout).objects

    assert found["grade"].dtype == np.int16
    assert found["grade"].tolist() == [4, 4, 4]


def test_a_column_that_the_table_does_not_keep_is_dropped() -> None:
    table = replace(LAYOUT.objects, not_kept=frozenset({"redshift"}))

    found = checked(objects(redshift=np.ones(3)), replace(LAYOUT, objects=table))

    assert "redshift" not in found.objects


def test_five_unknown_columns_are_named_and_more_counted() -> None:
    more = {f"unknown{n}": np.ones(3) for n in range(6)}

    with pytest.raises(
        InvalidCatalogError, match=r"unknown4\D+1 more|unknown4, \.\.\."
    ):
        checked(objects(None, **more))


@pytest.mark.parametrize(
    ("mask", "present"),
    [([F, F, F], [F, F, F]), ([F, T, F], [F, T, F]), ([T, T, T], None)],
    ids=["none", "some", "all"],
)
def test_a_mask_of_no_null_is_none_and_of_all_leaves_the_column_out(
    mask: list[bool], present: list[bool] | None
) -> None:
    found = checked(objects({"gPSFluxMean": mask})).objects

    assert ("gPSFluxMean" in found) == (present is not None)
    if present is not None:
        assert ("gPSFluxMean" in found.nulls) == any(mask)
        assert found.null_mask("gPSFluxMean").tolist() == present


def test_no_null_is_taken_where_the_schema_takes_none() -> None:
    assert "raSigma" in checked(objects({"raSigma": [F, F, F]})).objects
    with pytest.raises(InvalidCatalogError, match="raSigma: NULL in rows 1, 2"):
        checked(objects({"raSigma": [F, T, T]}))


TIME = np.datetime64("2026-01-01T00:00:00", "us")
NAT = np.datetime64("NaT", "us")


def test_a_time_that_is_none_may_stand_under_a_null() -> None:
    layout = with_column(Column("seen", Datatype.TIMESTAMP))
    times = np.array([TIME, NAT, TIME])

    found = checked(objects({"seen": [F, T, F]}, seen=times), layout).objects

    assert found["seen"][[0, 2]].tolist() == [TIME.item()] * 2
    with pytest.raises(InvalidCatalogError, match=r"seen: NaT in rows 1; .*mark NULL"):
        checked(objects({"seen": [T, F, F]}, seen=times), layout)
    with pytest.raises(InvalidCatalogError, match="seen: NaT in rows 1; "):
        checked(objects(seen=times), layout)


def test_finer_times_are_taken_if_microseconds_say_them() -> None:
    layout = with_column(Column("seen", Datatype.TIMESTAMP))
    exact = np.array([TIME, NAT, TIME]).astype("datetime64[ns]")

    found = checked(objects({"seen": [F, T, F]}, seen=exact), layout).objects

    assert found["seen"].dtype == np.dtype("datetime64[us]")
    lossy = exact + np.timedelta64(1, "ns")
    with pytest.raises(InvalidCatalogError, match="000000001 in row 0 does not fit"):
        checked(objects({"seen": [F, T, F]}, seen=lossy), layout)
    with pytest.raises(InvalidCatalogError, match="NaT in rows 1"):
        checked(objects(seen=exact), layout)


@pytest.mark.parametrize("value", [1e39, -1e39, 3.5e38])
def test_a_double_beyond_32_bit_floats_is_refused(value: float) -> None:
    values = np.array([1.0, value, value])

    with pytest.raises(InvalidCatalogError, match=r"in row 1 does not fit float32"):
        checked(sources(apFlux=values))


def test_a_double_that_rounds_to_a_32_bit_float_is_taken() -> None:
    values = np.array([0.1, np.inf, np.nan])

    found = checked(sources(apFlux=values)).sources["apFlux"]

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_what_does_not_fit_may_stand_under_a_null() -> None:
    doubles, wide = np.array([1.0, 1e39, 2.0]), np.array([1, 2**40, 3])
    layout = with_column(Column("grade", Datatype.SHORT))

    found = checked(sources({"psFlux": [F, T, F]}, psFlux=doubles)).sources
    graded = checked(objects({"grade": [F, T, F]}, grade=wide), layout).objects

    assert found["psFlux"][[0, 2]].tolist() == [1.0, 2.0]
    assert graded["grade"][[0, 2]].tolist() == [1, 3]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2**15, 3]),
        np.array([1, -(2**15) - 1, 3]),
        np.array([1, 2**16 + 5, 3]),
        np.array([1, 2**15, 3], np.uint16),
        np.array([1, 2**16 - 1, 3], np.uint16),
    ],
    ids=["above", "below", "wrapped", "unsigned", "unsigned -1"],
)
def test_an_integer_that_the_column_cannot_hold_is_refused(values: Any) -> None:
    layout = with_column(Column("grade", Datatype.SHORT))

    with pytest.raises(
        InvalidCatalogError, match=rf"{values[1]} in row 1 does not fit int16"
    ):
        checked(objects(grade=values), layout)


def test_integers_at_the_ends_of_the_type_are_taken() -> None:
    layout = with_column(Column("grade", Datatype.SHORT))

    found = checked(objects(grade=np.array([-(2**15), 0, 2**15 - 1])), layout)

    assert found.objects["grade"].tolist() == [-(2**15), 0, 2**15 - 1]


def test_an_array_of_two_dimensions_is_refused() -> None:
    with pytest.raises(InvalidCatalogError, match=r"apFlux: shape \(3, 1\)"):
        checked(sources(apFlux=np.zeros((3, 1), np.float32)))


@pytest.mark.parametrize(
    ("datatype", "word"),
    [
        (Datatype.BOOLEAN, "a boolean"),
        (Datatype.LONG, "an integer"),
        (Datatype.DOUBLE, "a real"),
        (Datatype.TIMESTAMP, "a time"),
    ],
)
def test_a_wrong_dtype_is_refused_in_plain_words(datatype: Datatype, word: str) -> None:
    layout = with_column(Column("more", datatype))

    with pytest.raises(
        InvalidCatalogError, match=f"more: dtype <U1 cannot be stored in {word} column;"
    ):
        checked(objects(more=np.array(["a", "b", "c"])), layout)


TEXT = Column("note", Datatype.STRING, length=4)
BLOB = Column("note", Datatype.BLOB, length=4)


@pytest.mark.parametrize(
    ("column", "first", "message"),
    [
        (TEXT, "a\0b", "row 1 has a NUL character"),
        (TEXT, "\0", "row 1 has a NUL character"),
        (TEXT, "abcde", "row 1 has length 5; .*at most 4"),
        (TEXT, b"abc", "row 1 has a bytes; .*give str, and mark NULL"),
        (TEXT, None, "row 1 has a NoneType; .*give str"),
        (BLOB, b"abcde", "row 1 has length 5; .*at most 4"),
        (BLOB, "abc", "row 1 has a str; .*give bytes, and mark NULL"),
        (BLOB, bytearray(b"abc"), "row 1 has a bytearray; .*give bytes"),
    ],
)
def test_a_wrong_text_or_blob_is_refused_with_its_row(
    column: Column, first: object, message: str
) -> None:
    good = b"good" if column is BLOB else "good"
    values = np.array([good, first, first], object)

    with pytest.raises(InvalidCatalogError, match=message):
        checked(objects(note=values), with_column(column))


@pytest.mark.parametrize("column", [TEXT, BLOB, replace(TEXT, length=None)])
def test_texts_and_blobs_are_kept_and_nulls_not_looked_at(column: Column) -> None:
    good = b"a\0bc" if column is BLOB else "good"
    values = np.array([good, None, good[:0]], object)

    found = checked(objects({"note": [F, T, F]}, note=values), with_column(column))

    assert found.objects["note"][[0, 2]].tolist() == [good, good[:0]]


def test_texts_of_a_fixed_width_become_objects() -> None:
    found = checked(objects(note=np.array(["a", "b", "c"])), with_column(TEXT))

    assert found.objects["note"].dtype == object
    assert found.objects["note"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("ids", "row"),
    [([5, 5, 6], "5"), ([6, 5, 5], "5"), ([5, 6, 5], "5"), ([4, 4, 4], "4")],
)
def test_an_id_twice_is_refused_wherever_it_stands(ids: list[int], row: str) -> None:
    with pytest.raises(
        DuplicateIdError, match=f"visit 1 DiaObject: diaObjectId {row} appears twice"
    ):
        checked(objects(diaObjectId=np.array(ids)))


def test_two_rows_of_one_id_are_refused() -> None:
    two = records(1, [7, 8])
    twice = Catalog({**two.objects.columns, "diaObjectId": np.array([7, 7])})

    with pytest.raises(DuplicateIdError, match="diaObjectId 7 appears twice"):
        checked(replace(two, objects=twice))


def test_a_forced_source_is_known_by_object_and_ccd_visit() -> None:
    given = records(1, IDS)

    def forced(ids: list[int], ccds: list[int]) -> CheckedVisit:
        columns = {
            **given.forced_sources.columns,
            "diaObjectId": np.array(ids),
            "ccdVisitId": np.array(ccds),
        }
        return checked(replace(given, forced_sources=Catalog(columns)))

    assert len(forced([1, 1, 2], [1, 2, 1]).forced) == 3
    with pytest.raises(
        DuplicateIdError,
        match="visit 1 DiaForcedSource: diaObjectId 1, ccdVisitId 2 appears twice",
    ):
        forced([1, 2, 1], [2, 2, 2])


def test_a_source_twice_is_refused() -> None:
    with pytest.raises(
        DuplicateIdError, match="visit 1 DiaSource: diaSourceId 4 appears twice"
    ):
        checked(sources(diaSourceId=np.array([4, 5, 4])))


@pytest.mark.parametrize(
    "good",
    [
        VisitKey(visit_id=0, time=START),
        VisitKey(visit_id=2**63 - 1, time=START),
        VisitKey(visit_id=1, time=START, tile="t" * 32),
        VisitKey(visit_id=1, time=START, tile="t@1", n_tiles=0),
        VisitKey(visit_id=1, time=START, tile="t", n_tiles=1_000_000),
    ],
    ids=str,
)
def test_a_key_at_the_limits_is_taken(good: VisitKey) -> None:
    assert check_visit(LAYOUT, good, records(1, IDS)).key == good


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (VisitKey(visit_id=-1, time=START), "^visit -1: .*not a 64-bit number"),
        (VisitKey(visit_id=2**63, time=START), "not a 64-bit number"),
        (VisitKey(visit_id=1, time=START, tile="t" * 33), "33 characters.*at most 32"),
        (
            VisitKey(visit_id=1, time=START, tile="@1"),
            "^visit 1 tile @1: .*begins with",
        ),
        (VisitKey(visit_id=1, time=START, n_tiles=-1), "n_tiles is -1"),
        (VisitKey(visit_id=1, time=START, n_tiles=1_000_001), "n_tiles is 1000001"),
    ],
    ids=str,
)
def test_a_key_beyond_the_limits_is_refused(wrong: VisitKey, message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        check_visit(LAYOUT, wrong, records(1, IDS))


def test_the_time_of_a_visit_is_kept_in_utc() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    there = VisitKey(visit_id=1, time=START.astimezone(east))

    found = check_visit(LAYOUT, there, records(1, IDS))

    assert found.time == np.datetime64(START.replace(tzinfo=None), "us")


def test_a_time_without_a_zone_is_refused_with_its_visit() -> None:
    naive = VisitKey(visit_id=1, time=START.replace(tzinfo=None), tile="2x3")

    with pytest.raises(NaiveTimeError, match="visit 1 tile 2x3"):
        check_visit(LAYOUT, naive, records(1, IDS))


def test_digests_are_of_the_three_catalogs_in_order() -> None:
    found = checked(records(1, IDS))

    parts = (found.objects, found.sources, found.forced)
    assert found.digests == tuple(map(TableDigest.of, parts))
    assert len(set(found.digests)) == 3


def test_a_refusal_is_an_error_of_this_package() -> None:
    with pytest.raises(L1dbError, match="nothing was stored"):
        checked(objects(redshift=np.ones(3)))
