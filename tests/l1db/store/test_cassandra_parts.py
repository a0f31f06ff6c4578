"""What the store on Cassandra decides without a server."""

import uuid
from typing import Any

import pytest

from l1db_pipeline.errors import ConfigError
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex

pytest.importorskip("cassandra", reason="no cassandra-driver")
place = pytest.importorskip("l1db_pipeline.store.backends.cassandra.place")
reading = pytest.importorskip("l1db_pipeline.store.backends.cassandra.reading")

A, B, OLD, NEW = (uuid.UUID(int=n) for n in range(4))


def _row(kind: int, number: int, attempt: uuid.UUID, base: Any, tags: Any = ()) -> Any:
    data = f"{kind} {attempt.int}".encode()
    packed = reading.pack_attempts(tags)
    return (7, 3, kind, number, "", attempt, data, packed, base, number)


def test_pages_from_before_and_after_a_merge_have_every_row_once() -> None:
    before = [_row(0, 1, A, OLD), _row(0, 2, B, OLD)]  # the page before the merge
    after = [_row(1, 5, NEW, NEW, {A, B})]

    part = reading.Partition(7, 3, [*before, *after])

    assert part.originals == {}
    assert [tag.attempt for tag, _ in part.merged] == [NEW]
    assert {tag.attempt for _, tag in part.stale} == {A, B}


def test_of_two_bases_of_two_pages_the_newer_one_counts() -> None:
    rows = [_row(1, 4, OLD, OLD, {A}), _row(1, 5, NEW, NEW, {A, B})]

    part = reading.Partition(7, 3, rows)

    assert [tag.attempt for tag, _ in part.merged] == [NEW]
    assert part.merged_attempts == {A, B}


def test_a_merged_chunk_that_no_batch_has_named_counts_for_nothing() -> None:
    rows = [_row(0, 1, A, None), _row(1, 1, NEW, None, {A})]

    part = reading.Partition(7, 3, rows)

    assert [tag.attempt for tag in part.originals] == [A]
    assert part.merged == []
    assert [tag.attempt for _, tag in part.stale] == [NEW]


def test_a_url_names_hosts_keyspace_and_options() -> None:
    url = "cassandra://me:secret@h1,h2:9043/survey?rf=3&dc=usdf&timeout_s=2.5"

    found = place.ClusterPlace.of(url)

    assert (found.hosts, found.port, found.keyspace) == (("h1", "h2"), 9043, "survey")
    assert (found.rf, found.dc, found.timeout_s) == (3, "usdf", 2.5)
    assert (found.user, found.password) == ("me", "secret")
    assert str(found) == "cassandra://h1,h2/survey"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("cassandra://h1", "no valid keyspace"),
        ("cassandra://h1/Survey", "'Survey'.*small letters"),
        ("cassandra://h1/a;b", "no valid keyspace"),
        ("cassandra://h1,,h2/l1db", "names no host"),
        ("cassandra://u:secret@h1/l1db?rf=0", "rf = 0 is not a whole number"),
        ("cassandra://h1/l1db?lease=3", "unknown or repeated option lease; known: rf"),
        ("cassandra://h1/l1db?timeout_s=soon", "timeout_s = soon is not seconds"),
    ],
)
def test_a_wrong_url_is_told_by_name(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        place.ClusterPlace.of(url)

    assert "secret" not in str(caught.value)


def test_hosts_come_from_the_environment_where_the_url_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CASSANDRA_HOSTS", "h7, h8")

    assert place.ClusterPlace.of("cassandra:///l1db").hosts == ("h7", "h8")


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("dia_object_index", ObjectIndex.BASELINE, "= last_object_table"),
        ("dia_object_nightly", True, "leave dia_object_nightly out"),
        ("object_last_replace", True, "leave object_last_replace out"),
        ("prefix", "my_", "leave prefix out"),
        ("namespace", "mine", "leave namespace out"),
    ],
)
def test_what_only_sql_has_is_refused_by_name(
    option: str, value: Any, remedy: str
) -> None:
    options: dict[str, Any] = {"dia_object_index": ObjectIndex.LAST_OBJECT_TABLE}

    with pytest.raises(
        ConfigError, match=f"{option} = .*not possible on Cassandra.*{remedy}"
    ):
        L1dbConfig(url="cassandra://h1/l1db", **{**options, option: value})
