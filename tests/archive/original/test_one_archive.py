"""Ours and the original on one archive; needs RUBIN_SIM_PYTHON, a python with it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from archive_assets import prenightindex, util, vseqarchive
from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.integrity.verify import verify_archive
from archive_assets.metadata.schema import schema_state, upgrade_schema
from archive_assets.nights.index import get_prenight_index_from_bucket
from archive_assets.objects.datastore import DataStore
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.hdf5.read import write_visits

PYTHON = os.environ.get("RUBIN_SIM_PYTHON", "")
pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="RUBIN_SIM_PYTHON is not set"),
]
DRIVER = Path(__file__).parent / "driver.py"
Archive = VisitSequenceArchiveMetadata
NIGHT = "2026-12-01"


class Original:
    """The original, in an interpreter of its own, on the same archive."""

    def __init__(self, connect: dict[str, str], folder: Path) -> None:
        self._errors = folder / "errors"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [PYTHON, DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": "", "VSARCHIVE_PGSCHEMA": "test"},
            )
        self.config: dict[str, Any] = {
            "connect": {
                "database": connect["dbname"], "host": connect["host"],
                "user": connect["user"], "port": connect["port"],
            },
            "schema": "test",
            "store": (folder / "store").as_uri() + "/",
            "index": (folder / "index").as_uri() + "/",
        }  # fmt: skip

    def run(self, step: str, **more: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([step, self.config | more]), file=self._process.stdin)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._errors.read_text()[-3000:]
        result: dict[str, Any] = json.loads(line)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process:  # closes its input, which ends it
            pass


@pytest.fixture(scope="module")
def story(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """One archive: filled by the original, upgraded and added to by ours, and again."""
    folder = tmp_path_factory.mktemp("original")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS original WITH (FORCE)")
        connection.execute("CREATE DATABASE original")
    parts = {k: str(v) for k, v in conninfo_to_dict(postgres_dsn).items()}
    connect = {**parts, "dbname": "original"}
    with Original(connect, folder) as original:
        told = tell(original, connect, folder)
    yield told
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE original WITH (FORCE)")


def tell(original: Original, connect: dict[str, str], folder: Path) -> dict[str, Any]:
    filled = original.run("fill")
    told: dict[str, Any] = {
        "filled": filled,
        "signatures": original.run("signatures"),
        "names": original.run("names"),
    }
    store = DataStore(original.config["store"])
    with Archive(connect, "test") as archive:
        told["before"] = read(archive, filled)
        told["revision"] = schema_state(archive.database).revision
        upgrade_schema(archive.database)
        told["after"] = read(archive, filled)
        told["verified"] = verify(archive, original, repair=True)
        told["verified again"] = verify(archive, original)
        frame = pd.DataFrame(
            {
                "observationStartMJD": [61375.6, 61376.7],
                "fieldRA": [1.5, 2.5],
                "band": ["r", "é"],
                "night": [1, 2],
                "altitude": [50.0, 60.0],
                "azimuth": [1.0, 2.0],
            }
        )
        write_visits(folder / "ours.h5", {"observations": frame})
        (folder / "notes.txt").write_text("ours")
        ours = archive_visit_sequence(
            vsarch=archive, store=store, visits=folder / "ours.h5", label="ours",
            tags=["prenight", "nominal"], files={"notes": folder / "notes.txt"},
            comments=["by us"], sim_runner_kwargs={"nside": 16},
            parent_visitseq_uuid=filled["completed"],
        )  # fmt: skip
        told["ours"], told["frame"] = str(ours.uuid), frame
        prenightindex.write_prenight_index(
            archive, NIGHT, "simonyi", original.config["index"]
        )
        told["read"] = original.run("read", uuid=str(ours.uuid))
        told["extended"] = original.run("extend", uuid=str(ours.uuid))
        told["last"] = verify(archive, original, repair=True)
        told["described"] = archive.describe(ours.uuid)
        told["third"] = archive.describe(UUID(told["extended"]["third"]))
    return told


def read(archive: Archive, filled: dict[str, Any]) -> dict[str, Any]:
    """Read what the original wrote, with our methods."""
    uuid = UUID(filled["first"])
    row = archive.get_visitseq_metadata(uuid, "simulations_extra").to_dict()
    found = archive.sims_on_nights(NIGHT, tags=["ideal"], max_simulation_age=4000)
    url = archive.get_visitseq_url(uuid)
    return {
        "row": row,
        "first": archive.get_sim_uuid("2026-11-20", 2),
        "found": sorted(map(str, found["visitseq_uuid"])),
        "visits": vseqarchive.get_visits(str(url)),
        "comments": list(archive.get_comments(uuid)["comment"]),
        "stats": archive.query_nightly_stats(uuid),
        "software": archive.get_software_versions_for_sim(uuid),
        "mixed": archive.get_visitseq_metadata(UUID(filled["mixed"]), "mixedvisitseq"),
        "notes": archive.get_file_sha256(uuid, "notes"),
        "completed": archive.get_visitseq_metadata(
            UUID(filled["completed"]), "completed"
        )["query"],
    }


def verify(archive: Archive, original: Original, *, repair: bool = False) -> list[str]:
    nights = (util.dayobs_to_date(NIGHT),) * 2
    report = verify_archive(
        archive, DataStore(original.config["store"]),
        index_base=original.config["index"], nights=nights, repair=repair,
    )  # fmt: skip
    return sorted(p.kind for p in report.problems if not p.is_repaired or not repair)


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_the_original_wrote_is_read(story: dict[str, Any], when: str) -> None:
    found, filled = story[when], story["filled"]

    assert story["revision"] == "0001"
    assert found["row"]["visitseq_label"] == "first"
    assert found["row"]["tags"] == ["ideal", "prenight"]
    assert found["row"]["daily_id"] == 2
    assert list(found["row"]["comments"].values()) == ["by the original"]
    assert found["row"]["sim_runner_kwargs"]["nside"] == 32
    assert str(found["row"]["parent_visitseq_uuid"]) == filled["completed"]
    assert str(found["first"]) == filled["first"]
    assert found["found"] == sorted([filled["first"], filled["second"]])
    assert list(found["visits"]["target_name"]) == ["somewhere"] * 5
    assert found["comments"] == ["by the original"]
    assert len(found["stats"]) == 4
    assert found["software"].loc["numpy", "package_version"] == "2.0"
    assert str(found["mixed"]["late_parent_uuid"]) == filled["first"]
    assert len(found["notes"]) == 32
    assert found["completed"] == "SELECT 1"


def test_their_archive_is_verified_and_its_missing_hashes_recorded(
    story: dict[str, Any],
) -> None:
    assert story["verified"] == []
    assert story["verified again"] == []


def test_the_original_reads_what_ours_writes(story: dict[str, Any]) -> None:
    found, frame = story["read"], story["frame"]

    assert found["label"] == found["base"] == "ours"
    assert len(found["columns"]) == 18
    assert found["tags"] == ["nominal", "prenight"]
    assert found["comments"] == ["by us"]
    assert found["kwargs"] == {"nside": 16}
    assert found["by_daily_id"] == story["ours"]
    assert story["ours"] in found["found"]
    assert story["ours"] in found["index"]
    assert found["stats"]["altitude"]["count"] == 1
    assert set(found["sha256"]) == {"notes"}
    assert found["n_comments"] == 1
    assert found["n_stats"] == 4
    assert found["visits"] == frame.to_dict("list")
    assert found["dtypes"]["night"] == "int64"


def test_the_original_adds_to_an_upgraded_archive(story: dict[str, Any]) -> None:
    assert story["last"] == []
    assert "by_the_original" in story["described"]["tags"]
    assert len(story["described"]["comments"]) == 2
    assert story["described"]["config_url"] == "https://example.org/new"
    assert story["third"]["daily_id"] > story["described"]["daily_id"]
    assert story["third"]["hash_algorithm"] == "rubin_sim-records"


def test_their_index_is_read_with_our_types(
    story: dict[str, Any], tmp_path: Path
) -> None:
    url = story["extended"]["index"]
    base = url[: url.index("simonyi/")]
    del tmp_path

    index = get_prenight_index_from_bucket(NIGHT, "simonyi", base)

    (row,) = index.loc[[UUID(story["filled"]["first"])]].to_dict("records")
    assert row["first_day_obs"].isoformat() == NIGHT
    assert row["conda_env_sha256"] == b"e" * 32
    assert index.attrs["generated"] is None


@pytest.mark.parametrize("what", ["signatures", "names"])
def test_what_is_recorded_of_the_original_is_so(
    story: dict[str, Any], what: str
) -> None:
    recorded = json.loads((DRIVER.parent / f"{what}.json").read_text())

    assert story[what] == recorded
