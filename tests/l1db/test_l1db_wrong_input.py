from pathlib import Path

import pytest
from l1db.original_records import T0, a_forced_source, a_source, an_object

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.l1db import (
    DiaObject,
    DiaSource,
    L1db,
)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([an_object(1, T0), an_object(1, T0)], "diaObjectId 1 appears twice"),
        ([an_object(1, T0)._replace(ra=float("nan"))], "row 1: ra=nan is out of range"),
        ([an_object(1, T0)._replace(ra=360.0)], "row 1: ra=360.0 is out of range"),
        ([an_object(1, T0)._replace(decl=-90.5)], "row 1: decl=-90.5 is out of range"),
        ([an_object(1, T0)._replace(diaObjectId=None)], "diaObjectId: NULL in rows 1"),
        (
            [an_object(1, T0)._replace(htmId20=7)],
            "row 1: 7 is not an HTM id of level 20",
        ),
        ([an_object(1, T0)._replace(flags="x")], "flags = 'x' is not of type long"),
        ([a_source(1, 1)], "no attribute 'validityStart'"),
    ],
)
def test_wrong_objects_are_refused_and_nothing_is_stored(
    tmp_path: Path, objects: list[DiaObject], message: str
) -> None:
    (tmp_path / "l1db.cfg").write_text(
        f"[database]\nurl = sqlite:///{tmp_path}/l1.db\n"
    )
    with L1db(tmp_path / "l1db.cfg") as database:
        database.makeSchema()

        with pytest.raises(L1dbError, match=message):
            database.storeDiaObjects([an_object(5, T0), *objects], T0)

        assert set(database.tableRowCount().values()) == {0}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([a_source(9, 1)], "no object 9 is in the visit or stored"),
        ([a_source(1, 1), a_source(1, 1)], "diaSourceId 1001 appears twice"),
        ([a_source(1, 1)._replace(decl=91.0)], "row 0: decl=91.0 is out of range"),
        ([a_forced_source(1, 1)], "no attribute 'diaSourceId'"),
    ],
)
def test_wrong_sources_are_refused_and_nothing_is_stored(
    tmp_path: Path, sources: list[DiaSource], message: str
) -> None:
    (tmp_path / "l1db.cfg").write_text(
        f"[database]\nurl = sqlite:///{tmp_path}/l1.db\n"
    )
    with L1db(tmp_path / "l1db.cfg") as database:
        database.makeSchema()
        database.storeDiaObjects([an_object(1, T0)], T0)

        with pytest.raises(L1dbError, match=message):
            database.storeDiaSources(sources)

        assert database.tableRowCount()["DiaSource"] == 0
