import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from archive_assets.nights.index_json import load_index, source_sha256
from archive_assets.prenightindex import (
    IndexFileError,
    get_prenight_index,
    get_prenight_index_from_bucket,
    get_prenight_index_from_database,
    get_sim_metadata,
    get_sim_uuid,
    prenight_index_path,
    select_latest_prenight_sim,
    write_prenight_index,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata
NIGHT = "2026-01-02"
SHA = bytes(range(32))


@pytest.fixture
def reachable(archive_environment: None) -> dict[str, Any]:
    """The archive through the environment; arguments that lead nowhere."""
    del archive_environment
    return {"host": "127.0.0.1", "port": 1}


@pytest.fixture
def filled(vsarch: Archive, visits: pd.DataFrame) -> Archive:
    """Two simulations of the night: one with everything, one with nothing."""
    parent = vsarch.record_completed_metadata(visits, "before")
    full = vsarch.record_simulation_metadata(
        visits, "full/é", url="file:///a/visits.h5", first_day_obs="2026-01-01",
        last_day_obs="2026-01-03", scheduler_version="3.0", config_url="https://x/y",
        conda_env_sha256=SHA, parent_visitseq_uuid=parent,
        sim_runner_kwargs={"nside": 32, "list": [1, 2.5]},
        parent_last_day_obs="2025-12-31",
    )  # fmt: skip
    bare = vsarch.record_simulation_metadata(
        visits, "bare", first_day_obs=NIGHT, last_day_obs=NIGHT
    )
    vsarch.tag(full, "prenight", "ideal", "nominal")
    vsarch.tag(bare, "prenight")
    vsarch.comment(full, "a comment")
    vsarch.register_file(full, "rewards", SHA, "file:///a/rewards.h5")
    vsarch.insert_nightly_stats(
        full,
        pd.DataFrame(
            {"day_obs": [date(2026, 1, 2)], "value_name": ["altitude"],
             "accumulated": [False], "count": [3], "mean": [0.1 + 0.2]}
        ),
    )  # fmt: skip
    return vsarch


def test_database_and_index_give_equal_frames(
    filled: Archive, reachable: dict[str, Any], tmp_path: Path
) -> None:
    write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))

    database = get_prenight_index(NIGHT)
    index = get_prenight_index(NIGHT, prenight_index_path=str(tmp_path), **reachable)

    assert len(database) == 2
    assert_frame_equal(database, index)
    assert database.attrs["source"] == "database"
    assert index.attrs["source"].endswith(".json")
    assert index.attrs["age"].total_seconds() < 60


def test_the_path_has_a_month_without_padding(filled: Archive, tmp_path: Path) -> None:
    url = write_prenight_index(filled, 20260102, "simonyi", tmp_path.as_uri())

    path = tmp_path / "simonyi/2026/1/simonyi_prenights_for_2026-01-02.json"
    assert url == path.as_uri()
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_the_json_has_the_keys_and_types_of_the_original(
    filled: Archive, tmp_path: Path
) -> None:
    write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))
    path = tmp_path / "simonyi/2026/1/simonyi_prenights_for_2026-01-02.json"

    records = json.loads(path.read_text())

    (record,) = [r for r in records.values() if r["visitseq_label"] == "full/é"]
    assert list(record)[:18] == [
        "sim_creation_day_obs", "daily_id", "visitseq_label", "visitseq_url",
        "telescope", "first_day_obs", "last_day_obs", "creation_time",
        "scheduler_version", "config_url", "sim_runner_kwargs", "conda_env_sha256",
        "parent_visitseq_uuid", "parent_last_day_obs", "tags", "comments", "files",
        "stats",
    ]  # fmt: skip
    assert record["conda_env_sha256"] == SHA.hex()
    assert record["creation_time"].endswith("Z")
    assert record["stats"]["altitude"]["count"] == 3
    assert record["stats"]["altitude"]["accumulated"] is False
    read = pd.read_json(path, orient="index")  # as the original's reader does
    assert str(read["creation_time"].dtype).startswith("datetime64")


def test_an_index_tells_when_and_from_what_it_was_made(
    filled: Archive, tmp_path: Path
) -> None:
    url = write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))
    text = prenight_index_path(NIGHT, "simonyi", str(tmp_path)).read()

    index = load_index(text, url)

    assert index.generated is not None
    assert index.source_sha256 == source_sha256(index.frame)


def test_an_empty_night_is_published_and_has_its_columns(
    vsarch: Archive, tmp_path: Path
) -> None:
    write_prenight_index(vsarch, NIGHT, "auxtel", str(tmp_path))

    path = tmp_path / "auxtel/2026/1/auxtel_prenights_for_2026-01-02.json"
    index = get_prenight_index_from_bucket(NIGHT, "auxtel", str(tmp_path))
    assert path.read_text() == "{}"
    assert index.empty
    assert len(index.columns) == 18


def test_neither_database_nor_index_gives_an_empty_frame_that_says_so(
    reachable: dict[str, Any], tmp_path: Path
) -> None:
    index = get_prenight_index(NIGHT, prenight_index_path=str(tmp_path), **reachable)

    assert index.empty
    assert list(index["visitseq_url"]) == []
    assert index.attrs["source"] == "none"


@pytest.mark.usefixtures("reachable")
def test_an_error_of_the_database_is_no_reason_to_read_the_index(
    filled: Archive, tmp_path: Path
) -> None:
    write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))

    with pytest.raises(LookupError, match="elsewhere"):
        get_prenight_index(NIGHT, schema="elsewhere", prenight_index_path=str(tmp_path))


def test_an_index_of_the_original_has_no_age(
    filled: Archive, reachable: dict[str, Any], tmp_path: Path
) -> None:
    location = Path(
        write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))[len("file://") :]
    )
    records = json.loads(location.read_text())
    theirs = {uuid: dict(list(row.items())[:18]) for uuid, row in records.items()}
    location.write_text(json.dumps(theirs, indent=4).replace("/", "\\/"))

    index = get_prenight_index(NIGHT, prenight_index_path=str(tmp_path), **reachable)

    assert_frame_equal(index, get_prenight_index(NIGHT))
    assert index.attrs["source"] == location.as_uri()
    assert index.attrs["age"] is None


@pytest.mark.parametrize("text", ["", "[]", '{"a": {}}', '{"a"', '{"x": 1}'])
def test_a_damaged_index_is_named(tmp_path: Path, text: str) -> None:
    path = prenight_index_path(NIGHT, "simonyi", str(tmp_path))
    path.write(text.encode())

    with pytest.raises(IndexFileError, match="simonyi_prenights_for_2026-01-02"):
        get_prenight_index_from_bucket(NIGHT, "simonyi", str(tmp_path))


def test_a_simulation_is_found_by_day_and_number_in_database_and_index(
    filled: Archive, reachable: dict[str, Any], tmp_path: Path
) -> None:
    write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))
    index = get_prenight_index_from_database(NIGHT)
    uuid, row = next(iter(index.iterrows()))
    there = {**reachable, "prenight_index_path": str(tmp_path)}
    day, number = row["sim_creation_day_obs"], row["daily_id"]

    assert get_sim_uuid(day, number) == uuid
    assert get_sim_uuid(day.isoformat(), str(number), vsmd=filled) == uuid
    assert get_sim_uuid(day, number, NIGHT, **there) == uuid
    with pytest.raises(ValueError, match="Visit sequence not found"):
        get_sim_uuid(day, 99, NIGHT, **there)
    with pytest.raises(ValueError, match="No simulation 99"):
        get_sim_uuid(day, 99)


@pytest.mark.parametrize("night", [NIGHT, 20260102, date(2026, 1, 2)])
def test_metadata_are_equal_from_database_and_index(
    filled: Archive, reachable: dict[str, Any], tmp_path: Path, night: Any
) -> None:
    write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path))
    there = {**reachable, "prenight_index_path": str(tmp_path)}
    for uuid in get_prenight_index_from_database(NIGHT).index:
        database = get_sim_metadata(str(uuid))
        index = get_sim_metadata(uuid, night, **there)

        assert_series_equal(database, index)
    with pytest.raises(ValueError, match="Visit sequence not found"):
        get_sim_metadata(uuid4(), night, **there)


def test_the_newest_simulation_with_all_tags_is_selected(filled: Archive) -> None:
    found = filled.sims_on_night_with_stats(NIGHT, ["prenight"]).set_index(
        "visitseq_uuid"
    )

    newest = select_latest_prenight_sim(found, ())
    nominal = select_latest_prenight_sim(found)

    assert newest is not None
    assert newest["visitseq_label"] == "bare"
    assert nominal is not None
    assert nominal["visitseq_label"] == "full/é"
    assert select_latest_prenight_sim(found, ("anomalous_overhead",)) is None
    assert select_latest_prenight_sim(found, (), max_simulation_age=-1) is None


def test_concurrent_publishers_leave_one_whole_index(
    filled: Archive, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(6) as pool:
        urls = set(
            pool.map(
                lambda _: write_prenight_index(filled, NIGHT, "simonyi", str(tmp_path)),
                range(12),
            )
        )

    assert len(urls) == 1
    assert len(get_prenight_index_from_bucket(NIGHT, "simonyi", str(tmp_path))) == 2


def test_a_telescope_cannot_lead_out_of_the_index(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not usable"):
        prenight_index_path(NIGHT, "../../x", str(tmp_path))


def test_the_index_in_the_store_has_text_for_the_originals_callers(
    vsarch: Archive, visits: pd.DataFrame, tmp_path: Path
) -> None:
    uuid = vsarch.record_simulation_metadata(
        visits, "x", first_day_obs=NIGHT, last_day_obs=NIGHT
    )
    vsarch.tag(uuid, "prenight")
    write_prenight_index(vsarch, NIGHT, "simonyi", str(tmp_path))

    index = get_prenight_index_from_bucket(NIGHT, "simonyi", str(tmp_path))

    assert list(index.index) == [str(uuid)]
    assert index.loc[str(uuid), "first_day_obs"] == NIGHT
