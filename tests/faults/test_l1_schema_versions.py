"""Databases that other releases of the schema made: used where nothing is lost."""

import json
import re
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from contracts.l1db_sky import field, key, records

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import OWN_SCHEMA
from l1db_pipeline.store.errors import InvalidCatalogError, SchemaMismatchError
from l1db_pipeline.store.open import open_store

IDS = [1, 2, 3]


@cache
def _own_schema() -> str:
    return json.dumps(yaml.safe_load(OWN_SCHEMA.read_text()))


def _released(tmp_path: Path, version: str, more: str = "", **column: Any) -> str:
    """Write a release of the schema, with a column more in the tables of ``more``."""
    content = json.loads(_own_schema())
    content["version"] = version
    for table in content["tables"]:
        if table["name"] in more.split():
            table["columns"].append({"name": "albedo", "datatype": "float", **column})
    path = tmp_path / f"schema_{version}.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML, and quickly written
    return str(path)


@pytest.mark.parametrize(
    ("made", "used"), [("1.0.0", "2.0.0"), ("1.1.0", "1.0.0"), ("1.0.0", "1.1")]
)
def test_a_schema_of_another_major_or_an_earlier_minor_version_is_refused(
    config: L1dbConfig, tmp_path: Path, made: str, used: str
) -> None:
    made_with = replace(config, schema_file=_released(tmp_path, made))
    with closing(open_store(made_with)) as opened:
        opened.create_schema()

    other = replace(config, schema_file=_released(tmp_path, used))
    text = rf"schema_version {re.escape(made)}.*says {re.escape(used)}: name a schema"
    with (
        closing(open_store(other)) as opened,
        pytest.raises(SchemaMismatchError, match=text),
    ):
        opened.last_visit()


def _on_postgresql(*values: Any) -> Any:
    return pytest.param("postgresql", *values, marks=pytest.mark.postgresql)


_WITH_ALBEDO = "DiaObject DiaObjectLast DiaObjectNightly DiaSource DiaForcedSource"


@pytest.mark.parametrize(
    ("config", "index", "nightly", "history"),
    [
        ("sqlite", ObjectIndex.BASELINE, False, History.PACKED),
        ("sqlite", ObjectIndex.HTM20_ID_IOV, True, History.ROWS),
        ("sqlite", ObjectIndex.LAST_OBJECT_TABLE, False, History.ROWS),
        _on_postgresql(ObjectIndex.BASELINE, True, History.ROWS),
        _on_postgresql(ObjectIndex.HTM20_ID_IOV, False, History.PACKED),
        _on_postgresql(ObjectIndex.LAST_OBJECT_TABLE, True, History.PACKED),
    ],
    indirect=["config"],
)  # between them every pair of values
def test_a_minor_release_with_nullable_columns_uses_an_older_database(
    config: L1dbConfig,
    tmp_path: Path,
    history: History,
    index: ObjectIndex,
    nightly: bool,
) -> None:
    config = replace(
        config, history=history, dia_object_index=index, dia_object_nightly=nightly
    )
    with closing(open_store(config)) as opened:
        opened.create_schema()
        opened.store_visit(key(1), records(1, IDS))
    newer = replace(config, schema_file=_released(tmp_path, "1.1.0", _WITH_ALBEDO))

    with closing(open_store(newer)) as opened:
        opened.create_schema()
        assert len(opened.read_objects(field())) == len(IDS)
        opened.store_visit(key(2), records(2, IDS))
        assert opened.merge_nightly() == 2 * len(IDS) * nightly
        assert opened.verify() == []
        sources = opened.read_sources(region=field())
        digest = opened.science_digest()

    assert len(sources) == 2 * len(IDS)
    with closing(open_store(config)) as opened:
        assert opened.verify() == []
        assert opened.science_digest() == digest


def test_a_column_that_an_older_database_lacks_is_not_dropped_in_silence(
    config: L1dbConfig, tmp_path: Path
) -> None:
    with closing(open_store(config)) as opened:
        opened.create_schema()
    newer = replace(config, schema_file=_released(tmp_path, "1.1.0", _WITH_ALBEDO))
    visit = records(1, IDS)
    albedo = np.full(len(IDS), 0.5, dtype=np.float32)
    sources = Catalog({**visit.sources.columns, "albedo": albedo}, visit.sources.nulls)
    visit = replace(visit, sources=sources)

    with closing(open_store(newer)) as opened:
        with pytest.raises(InvalidCatalogError, match="unknown columns albedo"):
            opened.store_visit(key(1), visit)
        opened.create_schema(drop=True)
        opened.store_visit(key(1), visit)

        assert opened.read_sources(region=field())["albedo"].tolist() == [0.5] * 3


def test_a_minor_release_with_a_column_that_must_have_a_value_is_refused(
    config: L1dbConfig, tmp_path: Path
) -> None:
    with closing(open_store(config)) as opened:
        opened.create_schema()
    file = _released(tmp_path, "1.1.0", "DiaSource", nullable=False)

    with (
        closing(open_store(replace(config, schema_file=file))) as opened,
        pytest.raises(
            SchemaMismatchError,
            match=r"1\.0\.0.*1\.1\.0, whose column DiaSource\.albedo must have a value",
        ),
    ):
        opened.last_visit()


def test_a_patch_release_of_the_schema_is_no_migration(
    config: L1dbConfig, tmp_path: Path
) -> None:
    with closing(open_store(config)) as opened:
        opened.create_schema()
    patched = _released(tmp_path, "1.0.7")

    with closing(open_store(replace(config, schema_file=patched))) as opened:
        opened.create_schema()
        opened.store_visit(key(1), records(1, IDS))

    with closing(open_store(config)) as opened:
        assert opened.row_counts()["DiaSource"] == len(IDS)
