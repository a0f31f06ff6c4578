"""The Python API of the archive: plain questions, answers that convert."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest

import archive_assets
from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.errors import ArchiveError
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.objects.datastore import DataStore
from archive_assets.reading.chosen import NoSuchSequenceError
from visit_tables.hdf5.read import write_visits
from visit_tables.time_scales import mjd_tai_from_utc, utc_from_mjd

pytestmark = pytest.mark.postgresql

MJDS = 61375.6 + np.array([0.0, 0.1, 0.2, 1.0, 1.1])


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "observationStartMJD": MJDS,
            "fieldRA": [10.0, 20.0, 30.0, 40.0, 50.0],
            "fieldDec": [-10.0, -20.0, -30.0, -40.0, -50.0],
            "band": ["r", "i", "r", "z", "y"],
            "nexp": [1, 2, 2, 2, 1],
        }
    )


@pytest.fixture
def uuids(
    vsarch: VisitSequenceArchiveMetadata, archive_environment: None, tmp_path: Path
) -> list[UUID]:
    """Two sequences of prenight, the second newer and of the first night alone."""
    del archive_environment
    made = []
    for n_visits, tags in ((5, ("prenight",)), (3, ("prenight", "nominal"))):
        path = tmp_path / f"{n_visits}.h5"
        write_visits(path, {"observations": _frame().iloc[:n_visits]})
        done = archive_visit_sequence(
            vsarch=vsarch, store=DataStore(tmp_path / "store"), visits=path,
            label=f"{n_visits} visits", tags=tags,
        )  # fmt: skip
        made.append(done.uuid)
    return made


def test_search_finds_by_night_and_tags(uuids: list[UUID]) -> None:
    both = archive_assets.search(night="2026-12-01", tags="prenight")
    one = archive_assets.search(tags=["prenight", "nominal"])
    late = archive_assets.search(night=20261202)

    assert both.frame["visitseq_uuid"].tolist() == uuids[::-1]
    assert one.frame["visitseq_uuid"].tolist() == [uuids[1]]
    assert late.frame["visitseq_uuid"].tolist() == [uuids[0]]
    assert repr(both).startswith("<2 sequences: kind, state, visitseq_uuid")
    assert both.to_arrow()["visitseq_uuid"].to_pylist() == [
        str(uuid) for uuid in uuids[::-1]
    ]
    assert both.to_pandas()["scheduler_version"].isna().all()


def test_visits_have_units_and_tai_times(uuids: list[UUID]) -> None:
    found = archive_assets.visits(str(uuids[0]))

    table, arrow = found.to_astropy(), found.to_arrow()

    assert found.to_pandas()["band"].tolist() == ["r", "i", "r", "z", "y"]
    assert str(table["fieldRA"].unit) == "deg"
    assert table["observationStartMJD"].scale == "tai"
    expected = mjd_tai_from_utc(utc_from_mjd("observationStartMJD", MJDS))
    np.testing.assert_allclose(
        table["observationStartMJD"].mjd, expected, rtol=0, atol=2e-11
    )
    assert arrow.schema.field("fieldDec").metadata[b"unit"] == b"deg"
    assert arrow["nexp"].to_pylist() == [1, 2, 2, 2, 1]


def test_tags_give_the_newest_sequence(uuids: list[UUID]) -> None:
    assert len(archive_assets.visits("prenight")) == 3
    assert len(archive_assets.visits("prenight", night="2026-12-02")) == 5
    assert len(archive_assets.visits(uuids[0])) == 5


def test_what_is_not_archived_is_named(uuids: list[UUID]) -> None:
    del uuids
    with pytest.raises(NoSuchSequenceError, match=r"tagged nominale with visits"):
        archive_assets.visits("nominale")
    with pytest.raises(ArchiveError, match="is not in visitseq"):
        archive_assets.visits(uuid4())


def test_compare_takes_common_nights(uuids: list[UUID]) -> None:
    found = archive_assets.compare(uuids[0], "nominal")
    every = archive_assets.compare(uuids[0], "nominal", all_nights=True)

    assert (len(found.shared), len(found.only_a), found.left_out_a) == (3, 0, 2)
    assert len(every.only_a) == 2
    assert repr(found) == (
        "<Comparison over 1 nights: 3 shared, 0 only in A, 0 only in B>"
    )


def test_sequences_without_a_common_night_are_not_compared(uuids: list[UUID]) -> None:
    with pytest.raises(ArchiveError, match="neither sequence has visits on 2026-12-05"):
        archive_assets.compare(*uuids, night="2026-12-05")


def test_the_index_of_a_night_lists_its_simulations(uuids: list[UUID]) -> None:
    found = archive_assets.index("2026-12-02")

    assert found.frame["visitseq_uuid"].tolist() == [uuids[0]]
    assert repr(found).startswith("<1 simulations: visitseq_uuid")


def _set_up(
    folder: Path, vsarch: VisitSequenceArchiveMetadata, patch: pytest.MonkeyPatch
) -> Path:
    """Work in a folder as a user would; return where the documentation is."""
    patch.chdir(folder)
    patch.setenv("ARCHIVE_URL", (folder / "store").as_uri())
    patch.setenv("PRENIGHT_INDEX_URL", (folder / "index").as_uri())
    patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    patch.setenv("MPLBACKEND", "agg")
    assert vsarch.metadata_db_schema
    docs = Path(__file__).parents[3] / "docs"
    patch.syspath_prepend(str(docs.parent / "scripts"))
    return docs


def test_the_examples_of_the_page_run(
    uuids: list[UUID],
    vsarch: VisitSequenceArchiveMetadata,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docs = _set_up(tmp_path, vsarch, monkeypatch)
    vsarch.tag(uuids[0], "delayed")
    names: dict[str, Any] = {}

    page = (docs / "python-archive.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)

    assert names["summary"]["shared"] == 3
    assert len(names["index"]) == 2


@pytest.mark.usefixtures("archive_environment")
def test_the_notebook_prints_what_it_shows(
    vsarch: VisitSequenceArchiveMetadata,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docs = _set_up(tmp_path, vsarch, monkeypatch)
    notebook = import_module("notebook")

    done = list(notebook.run_notebook(docs / "night-to-light-curve.ipynb"))

    assert len(done) == 5
    for cell, output in done:
        kept = ["".join(one["data"]["text/plain"]) for one in cell["outputs"]]
        assert kept == ([] if output is None else [output])
