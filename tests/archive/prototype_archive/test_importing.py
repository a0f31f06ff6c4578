import hashlib
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from archive_assets.prototype_archive.importing import time_in_label
from archive_assets.vseqmetadata import (
    VisitSequenceArchiveMetadata,
    metadata_yaml_from_prototype,
)

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata
LABEL = "Nominal start, run at 2025-12-08T06:59:18-08:00"


@pytest.fixture
def prototype(tmp_path: Path) -> Path:
    """A simulation in a prototype archive: 2025-12-08/1."""
    folder = tmp_path / "proto/2025-12-08/1"
    folder.mkdir(parents=True)
    frame = pd.DataFrame(
        {"observationStartMJD": [61017.6], "fieldRA": 1.0, "fieldDec": 2.0, "band": "r"}
    )
    with sqlite3.connect(folder / "opsim.db") as connection:
        frame.to_sql("observations", connection, index=False)
    connection.close()
    (folder / "rewards.h5").write_bytes(b"rewards")
    describe(folder, {})
    return tmp_path / "proto"


def describe(folder: Path, change: dict[str, Any]) -> None:
    metadata = {
        "label": LABEL,
        "files": {
            "observations": {"name": "opsim.db", "md5": "x"},
            "rewards": {"name": "rewards.h5"},
        },
        "scheduler_version": "3.0",
        "tags": ["ideal", 7],
        "simulated_dates": {"first": date(2025, 12, 8), "last": "2025-12-10"},
        **change,
    }
    (folder / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata))


def test_a_prototype_simulation_is_imported_as_one_act(
    vsarch: Archive, prototype: Path, tmp_path: Path
) -> None:
    base = (tmp_path / "store").as_uri()

    uuid = vsarch.import_sim_from_prototype_sim_archive(
        base, "2025-12-08", 1, prototype.as_uri()
    )

    row = vsarch.get_visitseq_metadata(uuid, "simulations_extra")
    assert row["visitseq_label"] == LABEL
    assert row["creation_time"] == datetime(2025, 12, 8, 14, 59, 18, tzinfo=UTC)
    assert (row["first_day_obs"], row["last_day_obs"]) == (
        date(2025, 12, 8),
        date(2025, 12, 10),
    )
    assert row["tags"] == ["from_prototype_sim_archive", "ideal"]
    assert set(row["files"]) == {"observations", "rewards"}
    assert row["visitseq_url"].startswith(base)
    assert (
        vsarch.get_file_sha256(uuid, "rewards") == hashlib.sha256(b"rewards").digest()
    )
    assert list(vsarch.get_comments(uuid)["comment"]) == [
        "Imported from prototype sim_archive 2025-12-08, 1"
    ]


@pytest.mark.parametrize(
    "dates",
    [
        {"simulated_dates": {"start": "2025-12-08", "end": "2025-12-10"}},
        {"simulated_dates": None, "simulation_dates": {"first": "2025-12-08"}},
    ],
)
def test_every_spelling_of_the_dates_is_read(
    vsarch: Archive, prototype: Path, dates: dict[str, Any]
) -> None:
    describe(prototype / "2025-12-08/1", dates)

    text = metadata_yaml_from_prototype("2025-12-08", 1, prototype.as_uri())
    uuid = vsarch.import_sim_from_yaml(text)

    row = vsarch.get_visitseq_metadata(uuid)
    assert row["first_day_obs"] == date(2025, 12, 8)
    assert row["visitseq_url"] is None


def test_the_yaml_of_a_simulation_can_be_imported_again(
    vsarch: Archive, prototype: Path
) -> None:
    text = metadata_yaml_from_prototype("2025-12-08", 1, prototype.as_uri())
    first = vsarch.import_sim_from_yaml(text)

    described = yaml.safe_load(vsarch.sim_metadata_yaml(first))
    assert described["simulated_dates"] == described["simulation_dates"]
    described["label"] = "again"
    second = vsarch.import_sim_from_yaml(yaml.safe_dump(described))

    columns = ["first_day_obs", "last_day_obs", "scheduler_version", "tags", "files"]
    rows = [
        vsarch.get_visitseq_metadata(uuid, "simulations_extra")[columns]
        for uuid in (first, second)
    ]
    assert rows[0].to_dict() == rows[1].to_dict()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['touch /tmp/planted']", "not plain YAML"),
        ("label: [1]", "must include a label"),
        ("[1, 2]", "is not a mapping"),
        ("{", "not plain YAML"),
        ("label: x", "must include the observations file"),
        ("{label: x, files: {observations: 3}}", "files that are not mappings"),
        ("{label: x, files: {observations: {md5: 0}}}", "needs a name or URL"),
    ],
)
def test_a_yaml_that_cannot_be_imported_is_refused(
    vsarch: Archive, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        vsarch.import_sim_from_yaml(text)

    assert vsarch.query("SELECT count(*) FROM visitseq")[0] == (0,)


@pytest.mark.parametrize(
    ("day", "index"), [("2025-12-09", 1), ("2025-12-08", 2), ("../x", 1), ("x", "y")]
)
def test_a_simulation_that_is_not_there_is_refused(
    prototype: Path, day: str, index: int | str
) -> None:
    with pytest.raises(
        ValueError, match=r"No simulation metadata|there is no prototype simulation"
    ):
        metadata_yaml_from_prototype(day, index, prototype.as_uri())


def test_the_time_comes_from_the_label_or_is_made_of_day_and_index(
    prototype: Path,
) -> None:
    assert time_in_label("x run at 2025-12-08T00:00:00") == datetime(
        2025, 12, 8, tzinfo=UTC
    )
    assert time_in_label("x run at noon") is None
    describe(prototype / "2025-12-08/1", {"label": "x"})

    text = metadata_yaml_from_prototype(date(2025, 12, 8), "1", prototype.as_uri())

    assert yaml.safe_load(text)["creation_time"] == "2025-12-08T12:00:01+00:00"
