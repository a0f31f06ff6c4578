import sqlite3
from contextlib import closing
from datetime import UTC, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from l1db.original_records import FIELD, MODES, T0, Open, store_a_visit

from l1db_pipeline.l1db import Visit
from l1db_pipeline.runs.command import simulator
from l1db_pipeline.runs.loop import run_visits
from l1db_pipeline.runs.settings import RunSettings
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.sources.generators import rand_cone_xyz
from l1db_pipeline.sources.source_file import SourceCatalog
from l1db_pipeline.store.open import open_store
from l1db_pipeline.visit import process
from visit_tables.time_scales import TimeRangeError


@pytest.fixture
def apdb() -> dict[str, Any]:
    """Options that ask for today's APDB schema through the column map."""
    try:
        spec = find_spec("lsst.sdm.schemas")
    except ModuleNotFoundError:
        spec = None
    folders = (spec and spec.submodule_search_locations) or ()
    files = [Path(folder) / "apdb.yaml" for folder in folders]
    if not files:
        pytest.skip("lsst-sdm-schemas is not installed")
    column_map = Path(__file__).parents[2] / "cfg" / "apdb_column_map.yaml"
    return {"schema_file": files[0], "column_map": column_map}


@pytest.mark.parametrize("mode", MODES)
def test_the_schema_of_today_serves_the_original_class(
    open_l1db: Open, apdb: dict[str, Any], mode: str
) -> None:
    database = open_l1db(
        dia_object_index=mode,
        read_sources_months=1,
        read_forced_sources_months=1,
        **apdb,
    )
    later = T0 + timedelta(seconds=45, microseconds=1)

    store_a_visit(database, 1, T0)
    store_a_visit(database, 2, later, 2)

    objects = sorted(database.getDiaObjects(FIELD))
    assert [o.lastNonForcedSource for o in objects] == [later, later, T0]
    assert [o.decl for o in objects] == [-20.0] * 3
    sources = sorted(database.getDiaSources(FIELD, objects))
    assert [s.ccdVisitId for s in sources] == [1, 1, 1, 2, 2]
    assert {(s.snr, s.prv_procOrder) for s in sources} == {(5.0, None)}
    forced = database.getDiaFSources(objects)
    assert {(f.psFlux, f.psFluxSigma, f.x) for f in forced} == {(1.5, None, None)}
    assert database.lastVisit() == Visit(2, later, 3, 2002)


@pytest.mark.parametrize("mode", MODES)
def test_full_objects_of_the_schema_of_today_are_read(
    open_l1db: Open, apdb: dict[str, Any], mode: str
) -> None:
    database = open_l1db(dia_object_index=mode, read_full_objects=1, **apdb)
    store_a_visit(database, 1, T0, 1)

    (found,) = database.getDiaObjects(FIELD)

    assert found.validityStart == T0
    assert (found.validityEnd, found.pmRa) == (None, None)


@pytest.mark.parametrize("mode", MODES)
def test_times_that_a_double_would_round_are_refused(
    open_l1db: Open, apdb: dict[str, Any], mode: str
) -> None:
    latest = T0.replace(2038, 4, 22, 23, 59, 59, 999_999)
    database = open_l1db(dia_object_index=mode, read_full_objects=1, **apdb)

    store_a_visit(database, 1, latest, 1)
    with pytest.raises(TimeRangeError, match=r"2038-04-23.* is out of range"):
        store_a_visit(database, 2, latest + timedelta(microseconds=1), 1)

    (found,) = database.getDiaObjects(FIELD)
    assert (found.validityStart, found.lastNonForcedSource) == (latest, latest)


def test_filling_leaves_withdrawal_open_and_puts_forced_sources_at_their_objects(
    apdb: dict[str, Any], tmp_path: Path
) -> None:
    config = L1dbConfig(
        url=f"sqlite:///{tmp_path}/l1.db",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        **apdb,
    )
    schema = load_schema(config.schema_file, column_map=config.column_map)
    sky = SourceCatalog(rand_cone_xyz([1.0, 0.0, 0.0], 0.03, 20, 1))
    settings = RunSettings(seed=5, catalog_sha256="", n_noise=20, fill=True)
    visit = process.Visit(
        visit_id=1,
        time=T0.replace(tzinfo=UTC),
        centre=np.array([1.0, 0.0, 0.0]),
        open_angle_deg=3.5,
    )
    with closing(open_store(config)) as store:
        store.create_schema()
        list(
            run_visits(
                store,
                [visit],
                simulator(sky, settings),
                options=settings.options(config),
                schema=schema,
            )
        )
    with closing(sqlite3.connect(tmp_path / "l1.db")) as connection:
        (withdrawn,) = connection.execute(
            'SELECT count("timeWithdrawnMjdTai") FROM "DiaSource"'
        ).fetchone()
        forced = connection.execute(
            "SELECT f.ra - o.ra, f.dec - o.dec, f.midpointMjdTai "
            'FROM "DiaForcedSource" f JOIN "DiaObject" o USING ("diaObjectId")'
        ).fetchall()

    expected = Time(T0).tai.mjd
    assert withdrawn == 0
    assert len(forced) > 20
    assert {(ra, dec) for ra, dec, _ in forced} == {(0.0, 0.0)}
    assert [mjd for *_, mjd in forced] == pytest.approx([expected] * len(forced))
