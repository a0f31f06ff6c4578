from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from l1db.original_records import FIELD, MODES, T0, Open, store_a_visit

from l1db_pipeline.l1db import Visit


@pytest.fixture
def apdb() -> dict[str, object]:
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
    open_l1db: Open, apdb: dict[str, object], mode: str
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
    open_l1db: Open, apdb: dict[str, object], mode: str
) -> None:
    database = open_l1db(dia_object_index=mode, read_full_objects=1, **apdb)
    store_a_visit(database, 1, T0, 1)

    (found,) = database.getDiaObjects(FIELD)

    assert found.validityStart == T0
    assert (found.validityEnd, found.pmRa) == (None, None)
