"""Metadata that cannot be stored, and sequences that are not there."""

from collections.abc import Callable
from datetime import date, datetime
from uuid import UUID, uuid4

import pandas as pd
import pytest
from archive.recorded import SHA, Archive, add, count, statistics

from archive_assets.errors import ArchiveError

pytestmark = pytest.mark.postgresql

UNKNOWN: dict[str, Callable[[Archive, UUID], object]] = {
    "metadata": lambda a, u: a.get_visitseq_metadata(u),
    "simulations_extra": lambda a, u: a.get_visitseq_metadata(u, "simulations_extra"),
    "get url": lambda a, u: a.get_visitseq_url(u),
    "set url": lambda a, u: a.set_visitseq_url(u, "file:///x"),
    "update": lambda a, u: a.update_visitseq_metadata(u, "visitseq_label", "x"),
    "tag": lambda a, u: a.tag(u, "x"),
    "tag nothing": lambda a, u: a.tag(u),
    "is_tagged": lambda a, u: a.is_tagged(u, "x"),
    "untag": lambda a, u: a.untag(u, "x"),
    "comment": lambda a, u: a.comment(u, "x"),
    "get comments": lambda a, u: a.get_comments(u),
    "register file": lambda a, u: a.register_file(u, "rewards", SHA, "file:///x"),
    "file url": lambda a, u: a.get_file_url(u, "rewards"),
    "file sha256": lambda a, u: a.get_file_sha256(u, "rewards"),
    "insert stats": lambda a, u: a.insert_nightly_stats(u, statistics()),
    "query stats": lambda a, u: a.query_nightly_stats(u),
    "software": lambda a, u: a.get_software_versions_for_sim(u),
    "yaml": lambda a, u: a.sim_metadata_yaml(u),
    "describe": lambda a, u: a.describe(u),
    "trash": lambda a, u: a.trash(u),
    "restore": lambda a, u: a.restore(u),
}


@pytest.mark.parametrize("call", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_uuid_is_refused(
    vsarch: Archive, call: Callable[[Archive, UUID], object]
) -> None:
    uuid = uuid4()

    with pytest.raises((ValueError, IndexError), match=str(uuid)) as caught:
        call(vsarch, uuid)

    assert isinstance(caught.value, ArchiveError)
    for table in ("tags", "comments", "files", "nightly_stats"):
        assert count(vsarch, table) == 0


def test_an_unknown_parent_is_refused(vsarch: Archive, visits: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="Visit sequence not found"):
        add(vsarch, visits, parent_visitseq_uuid=uuid4())

    assert count(vsarch, "visitseq") == 0


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"label": ""}, "label must not be empty"),
        ({"label": "a\0b"}, "NUL"),
        ({"label": "\ud800"}, "not valid Unicode"),
        ({"label": "x" * (2 << 20)}, "at most"),
        ({"telescope": "../../x"}, "telescope '../../x' is not usable"),
        ({"telescope": "/etc/x"}, "not usable"),
        ({"telescope": "a#b"}, "not usable"),
        ({"first_day_obs": "2026-12-09"}, "is after last_day_obs"),
        ({"first_day_obs": "yesterday"}, "is not a day"),
        ({"creation_time": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"conda_env_sha256": b"short"}, "32 bytes"),
        ({"parent_visitseq_uuid": "nobody"}, "is not a UUID"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_left(
    vsarch: Archive, visits: pd.DataFrame, details: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        add(vsarch, visits, **details)

    assert count(vsarch, "visitseq") == 0


@pytest.mark.parametrize(
    "label", ['it\'s "quoted"; DROP TABLE tags --', "\N{TELESCOPE} nuit", "y" * 10**6]
)
def test_an_odd_label_comes_back_unchanged(
    vsarch: Archive, visits: pd.DataFrame, label: str
) -> None:
    uuid = add(vsarch, visits, label=label)

    assert vsarch.get_visitseq_metadata(uuid)["visitseq_label"] == label


def test_a_field_is_updated_in_the_table_of_the_sequence(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)

    vsarch.update_visitseq_metadata(uuid, "first_day_obs", "2026-11-30")
    vsarch.update_visitseq_metadata(uuid, "sim_runner_kwargs", '{"a": 1}')
    vsarch.update_visitseq_metadata(uuid, "visitseq_sha256", SHA)

    row = vsarch.get_visitseq_metadata(uuid, "simulations")
    assert row["first_day_obs"] == date(2026, 11, 30)
    assert row["sim_runner_kwargs"] == {"a": 1}
    assert vsarch.describe(uuid)["hash_algorithm"] == "rubin_sim-records"
    with pytest.raises(ValueError, match="unknown field 'query'"):
        vsarch.update_visitseq_metadata(uuid, "query", "x")
    with pytest.raises(ValueError, match="would be after last_day_obs"):
        vsarch.update_visitseq_metadata(uuid, "first_day_obs", 20270101)


def test_a_table_that_holds_no_sequences_is_refused(vsarch: Archive) -> None:
    with pytest.raises(ValueError, match="unknown table 'tags'"):
        vsarch.get_visitseq_metadata(uuid4(), "tags")
