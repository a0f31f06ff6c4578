import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.felis import dump_felis, parse_felis
from l1db_pipeline.schema.load import OWN_SCHEMA, load_schema
from l1db_pipeline.schema.model import Datatype, SchemaError

A = "name: a, datatype: int"
CFG = Path(__file__).parents[3] / "cfg"

# the names and types that today's APDB has in the places that matter to us
EXCERPT = """
name: Excerpt
version: {current: "10.0.0", compatible: [9.0.0]}
tables:
- name: metadata
  columns:
  - {name: name, datatype: text, nullable: false}
  primaryKey: "#metadata.name"
- name: DiaObject
  columns:
  - {name: diaObjectId, datatype: long, nullable: false, ivoa:ucd: meta.id}
  - {name: validityStartMjdTai, datatype: double, nullable: false}
  - {name: validityEndMjdTai, datatype: double}
  - {name: lastDiaSourceMjdTai, datatype: double}
  - {name: ra, datatype: double, nullable: false, fits:tunit: deg}
  - {name: dec, datatype: double, nullable: false, fits:tunit: deg}
  - {name: u_psfFluxMean, datatype: float, fits:tunit: nJy}
  - {name: nDiaSources, datatype: int, nullable: false}
  primaryKey: ["#DiaObject.diaObjectId", "#DiaObject.validityStartMjdTai"]
  indexes:
  - {name: IDX_DiaObject_validityStart, columns: ["#DiaObject.validityStartMjdTai"]}
- name: DiaSource
  columns:
  - {name: diaSourceId, datatype: long, nullable: false}
  - {name: visit, datatype: long, nullable: false}
  - {name: detector, datatype: short, nullable: false}
  - {name: diaObjectId, datatype: long}
  - {name: ra, datatype: double, nullable: false}
  - {name: dec, datatype: double, nullable: false}
  - {name: psfFlux, datatype: float}
  - {name: psfFlux_flag, datatype: boolean}
  - {name: trailNdata, datatype: int, nullable: false, value: 0}
  - {name: band, datatype: char, length: 1}
  primaryKey: "#DiaSource.diaSourceId"
- name: DiaForcedSource
  columns:
  - {name: diaObjectId, datatype: long, nullable: false}
  - {name: visit, datatype: long, nullable: false}
  - {name: detector, datatype: short, nullable: false}
  - {name: ra, datatype: double, nullable: false}
  - {name: timeProcessed, datatype: timestamp}
  primaryKey:
  - "#DiaForcedSource.diaObjectId"
  - "#DiaForcedSource.visit"
  - "#DiaForcedSource.detector"
"""
MAP = """
columns:
  decl: dec
  validityStart: validityStartMjdTai
  validityEnd: validityEndMjdTai
  lastNonForcedSource: lastDiaSourceMjdTai
  ccdVisitId: visit
  psFlux: psfFlux
  uPSFluxMean: u_psfFluxMean
tables:
  DiaObject:
    add: [htmId20]
    unfilled: [nDiaSources]
    indexes: {IDX_DiaObject_htmId20: [htmId20]}
  DiaSource:
    add: [htmId20]
    defaults: {detector: 0, psfFlux_flag: false}
  DiaForcedSource:
    defaults: {detector: 0}
    unfilled: [ra]
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "apdb.yaml").write_text(EXCERPT)
    (tmp_path / "map.yaml").write_text(MAP)
    return tmp_path / "apdb.yaml", tmp_path / "map.yaml"


def test_our_own_file_comes_back_from_a_dump() -> None:
    schema = parse_felis("ours", yaml.safe_load(OWN_SCHEMA.read_text()))

    assert parse_felis("dump", yaml.safe_load(yaml.safe_dump(dump_felis(schema)))) == (
        schema
    )


def test_a_column_map_gives_our_names_to_theirs(files: tuple[Path, Path]) -> None:
    file, column_map = files

    schema = load_schema(file, column_map=column_map)

    objects = schema.table("DiaObject")
    assert schema.version == "10.0.0"
    assert objects.column("decl").sql_name == "dec"
    assert objects.column("ra").sql_name == "ra"
    assert objects.column("uPSFluxMean").sql_name == "u_psfFluxMean"
    assert objects.column("uPSFluxMean").unit == "nJy"
    assert objects.primary_key == ("diaObjectId", "validityStart")
    assert [index.columns for index in objects.indexes] == [
        ("validityStart",),
        ("htmId20",),
    ]


def test_their_doubles_are_times_to_us(files: tuple[Path, Path]) -> None:
    objects = load_schema(files[0], column_map=files[1]).table("DiaObject")

    assert objects.column("validityStart").datatype is Datatype.MJD_TAI
    assert objects.column("validityStart").numpy_dtype == "datetime64[us]"


def test_types_of_theirs_are_kept(files: tuple[Path, Path]) -> None:
    schema = load_schema(files[0], column_map=files[1])
    sources = schema.table("DiaSource")

    assert sources.column("detector").datatype is Datatype.SHORT
    assert sources.column("psfFlux_flag").datatype is Datatype.BOOLEAN
    assert sources.column("band").length == 1
    timed = schema.table("DiaForcedSource").column("timeProcessed")
    assert timed.datatype is Datatype.TIMESTAMP


def test_what_we_cannot_fill_is_null_or_a_default(files: tuple[Path, Path]) -> None:
    schema = load_schema(files[0], column_map=files[1])

    assert schema.table("DiaObject").column("nDiaSources").nullable
    assert schema.table("DiaSource").column("detector").default == 0
    assert schema.table("DiaSource").column("trailNdata").default == 0
    assert schema.table("DiaForcedSource").required == ("diaObjectId", "ccdVisitId")


def test_our_columns_without_place_are_known(files: tuple[Path, Path]) -> None:
    schema = load_schema(files[0], column_map=files[1])

    assert "pmRa" in schema.table("DiaObject").not_kept
    assert not load_schema().table("DiaObject").not_kept


def test_tables_that_theirs_lacks_are_completed(files: tuple[Path, Path]) -> None:
    schema = load_schema(files[0], column_map=files[1])

    tables = schema.tables_for(ObjectIndex.LAST_OBJECT_TABLE, nightly=True)
    last = schema.table("DiaObjectLast")
    assert {table.name for table in tables} == {t.name for t in load_schema().tables}
    assert last.columns == schema.table("DiaObject").columns
    assert last.primary_key == ("htmId20", "diaObjectId")


def test_index_modes_hold_for_a_mapped_schema(files: tuple[Path, Path]) -> None:
    schema = load_schema(files[0], column_map=files[1])

    (objects, *_) = schema.tables_for(ObjectIndex.HTM20_ID_IOV)

    assert objects.primary_key == ("htmId20", "diaObjectId", "validityStart")


def test_their_file_without_a_map_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(SchemaError, match=r"DiaObject lacks validityStart, .*column_m"):
        load_schema(files[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("decl: dec", "decl: delta", "schema Excerpt has no column delta in any table"),
        ("decl: dec", "decl: ra", "lacks|two of our columns|has ra twice"),
        ("decl: dec", "decl: band", "lacks decl|cannot hold"),
        ("psFlux: psfFlux", "psFlux: band", "band is char and cannot hold our psFlux"),
        ("psFlux: psfFlux", "psFlux: 3", "psFlux is mapped to 3, not to a name"),
        ("psFlux: psfFlux", "psFlux: visit", "two of our columns have one of theirs"),
        ("tables:", "table:", "unknown keys table; known: columns, tables"),
        ("  DiaSource:", "  DIASource:", "has no table 'DIASource'; it has metadata"),
        ("add: [htmId20]", "add: htmId20", "add is not a list of names"),
        ("add: [htmId20]", "add: [pixelId]", "has no column 'pixelId'"),
        ("unfilled: [ra]", "unfilled: [dec]", "DiaForcedSource has no column dec"),
        ("unfilled: [ra]", "unfilled: [visit]", "visit of the primary key cannot stay"),
        (
            "detector: 0, p",
            "detector: [0], p",
            "default of detector is not a plain value",
        ),
        ("[htmId20]}", "[htm]}", "keys of DiaObject name unknown columns htm"),
    ],
)
def test_wrong_column_maps_are_refused(
    files: tuple[Path, Path], old: str, new: str, message: str
) -> None:
    assert old in MAP
    files[1].write_text(MAP.replace(old, new, 1))

    with pytest.raises(SchemaError, match=message):
        load_schema(files[0], column_map=files[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a mapping"),
        ("", "is not a mapping"),
        ("name: N\ntables: {}", "tables is not a list|has no table DiaObject"),
        ("tables: []", "has no name"),
        ("name: N\ntables: []", "has no table DiaObject"),
        ("name: N\ntables: [{name: T, columns: [{name: on}]}]", "put on, off, yes and"),
        ("name: N\ntables: [{name: T, columns: [x]}]", "a column is not a mapping"),
        (
            "name: N\ntables: [{name: T, columns: [{name: a, datatype: real}]}]",
            "column a: datatype 'real' is not one of: boolean, byte, short",
        ),
        (
            "name: N\ntables: [{name: T, columns: [{name: a, datatype: mjd_tai}]}]",
            "datatype 'mjd_tai' is not one of",
        ),
        (
            f"name: N\ntables: [{{name: T, columns: [{{{A}, nullable: 1}}]}}]",
            "nullable is 1, not true or false",
        ),
        (
            f"name: N\ntables: [{{name: T, columns: [{{{A}, value: x}}]}}]",
            "value 'x' is not of type int",
        ),
        (
            f"name: N\ntables: [{{name: T, columns: [{{{A}, length: 0}}]}}]",
            "length 0 is not a positive number",
        ),
        (
            "name: N\ntables: [{name: T, columns: [], primaryKey: '#T.a'}]",
            "keys of T name unknown columns a",
        ),
        (f"name: {'N' * 64}\ntables: []", "name of more than 63 bytes"),
        ("name: !!python/object/apply:os.system [echo]", "is not plain YAML"),
        ("name: [", "is not plain YAML"),
    ],
)
def test_files_that_are_no_schema_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)

    with pytest.raises(SchemaError, match=message) as caught:
        load_schema(file)

    assert str(file) in str(caught.value)


def test_a_missing_schema_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"cannot read .*none\.yaml: No such file"):
        load_schema(tmp_path / "none.yaml")


@pytest.mark.parametrize("backend", ["sqlite", "pg", "mariadb"])
def test_example_files_have_the_values_of_the_prototype(backend: str) -> None:
    config = L1dbConfig.from_ini(CFG / f"l1db-{backend}.cfg")

    assert config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
    assert config.object_last_replace
    assert config.read_sources_months == config.read_forced_sources_months == 12
    assert config.source_select.value == "by-oid"


def _apdb_yaml() -> Path:
    """Return apdb.yaml of the environment, or of L1DB_TEST_APDB_YAML."""
    if named := os.environ.get("L1DB_TEST_APDB_YAML"):
        return Path(named)
    try:
        spec = find_spec("lsst.sdm.schemas")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec and spec.submodule_search_locations) or ():
        return Path(folder) / "apdb.yaml"
    pytest.skip("neither lsst-sdm-schemas nor L1DB_TEST_APDB_YAML is there")


def test_the_real_apdb_schema_serves_through_our_map() -> None:
    schema = load_schema(_apdb_yaml(), column_map=CFG / "apdb_column_map.yaml")

    assert schema.table("DiaObject").column("decl").sql_name == "dec"
    assert set(schema.table("DiaObject").required) == {
        "diaObjectId", "validityStart", "ra", "decl", "htmId20",
    }  # fmt: skip
    assert {"psFlux", "apFlux", "midPointTai"} <= set(schema.table("DiaSource").names)
    assert schema.table("DiaForcedSource").required == ("diaObjectId", "ccdVisitId")
