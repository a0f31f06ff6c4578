import gc
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from archive_assets.metadata.frames import typed_column
from archive_assets.metadata.values import checked_text, json_kwargs
from archive_assets.nights.index_json import (
    COLUMNS,
    dump_index,
    load_index,
    source_sha256,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

Archive = VisitSequenceArchiveMetadata


def backends(connect: dict[str, str]) -> int:
    """Return how many other connections the database has."""
    with psycopg.connect(**connect) as connection:  # type: ignore[arg-type]
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def settled(connect: dict[str, str]) -> int:
    """Return the number of connections once those that close have closed."""
    for _ in range(49):
        if backends(connect) == 0:
            return 0
    return backends(connect)


@pytest.mark.postgresql
def test_no_connection_is_kept_by_a_call_that_fails_or_succeeds(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    def work(number: int) -> None:
        uuid = vsarch.record_simulation_metadata(visits, f"number {number}")
        vsarch.tag(uuid, "x")
        vsarch.get_comments(uuid)
        with pytest.raises(ValueError, match="not found"):
            vsarch.tag(uuid4(), "x")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(36)))

    assert vsarch.sa_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.mark.postgresql
def test_connections_close_with_the_archive_and_when_it_is_forgotten(
    archive_connect: dict[str, str],
) -> None:
    with Archive(archive_connect, "vsmd_test") as archive:
        archive.query("SELECT 1")
        assert backends(archive_connect) == 1
    assert settled(archive_connect) == 0
    forgotten = Archive(archive_connect, "vsmd_test")
    forgotten.query("SELECT 1")

    del forgotten
    gc.collect()

    assert settled(archive_connect) == 0


@pytest.mark.postgresql
def test_an_archive_works_again_after_the_server_cut_its_connections(
    vsarch: Archive, archive_connect: dict[str, str], visits: pd.DataFrame
) -> None:
    uuid = vsarch.record_simulation_metadata(visits, "before")
    with psycopg.connect(**archive_connect, autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert vsarch.get_visitseq_metadata(uuid)["visitseq_label"] == "before"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
days = st.dates(date(1900, 1, 1), date(2200, 1, 1))
times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = {
    "date": st.none() | days,
    "int": st.integers(1, 10_000),
    "text": st.none() | texts,
    "time": times,
    "json": st.none() | st.dictionaries(texts, numbers | texts | st.lists(numbers)),
    "bytes": st.none() | st.binary(min_size=32, max_size=32),
    "uuid": st.none() | st.uuids(),
}
rows = st.fixed_dictionaries({name: values[kind] for name, kind in COLUMNS.items()})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows, max_size=4), times)
def test_an_index_survives_json(
    records: list[dict[str, object]], generated: datetime
) -> None:
    oids = {"time": 1184, "int": 20}
    frame = pd.DataFrame(
        {
            name: typed_column([row[name] for row in records], oids.get(kind, 0))
            for name, kind in COLUMNS.items()
        },
        columns=list(COLUMNS),
    )
    uuids = [UUID(int=number) for number in range(len(records))]
    frame.index = pd.Index(uuids, dtype="object", name="visitseq_uuid")

    index = load_index(dump_index(frame, generated), "here")

    assert_frame_equal(index.frame, frame)
    if records:
        assert index.generated == generated
        assert index.source_sha256 == source_sha256(frame)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(texts, numbers | texts | st.binary() | st.none()))
def test_arguments_of_a_run_can_always_be_stored(kwargs: dict[str, object]) -> None:
    stored = json_kwargs(kwargs)

    assert set(stored) == set(kwargs)
    assert json.loads(json.dumps(stored)) == stored


@settings(max_examples=25, deadline=None)
@given(texts)
def test_a_text_is_stored_unchanged_or_refused(text: str) -> None:
    if text.strip():
        assert checked_text(text, "it") == text
        return
    with pytest.raises(ValueError, match="must not be empty"):
        checked_text(text, "it")
