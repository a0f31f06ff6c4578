"""A night through both locations on real resources, and again: the same rows."""

import sqlite3
from contextlib import closing
from typing import Any

import dagster as dg
import psycopg
import psycopg.sql
import pytest
from dagster_layer.real_site import FEW_SOURCES, Site
from opsim_night import N_VISITS, NIGHT, write_opsim
from psycopg.conninfo import make_conninfo

from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.defs.names import NOMINAL, archived_key, simulation_key
from l1db_pipeline.defs.archive import NIGHT_VISITS_KEY
from pipeline_runtime.dagster.visit_names import STORED_KEY


def _archived(site: Site) -> list[tuple[object, ...]]:
    with psycopg.connect(**site.connection) as connection:  # type: ignore[arg-type]
        return connection.execute(
            "SELECT visitseq_uuid, visitseq_url, first_day_obs FROM vsmd.simulations"
        ).fetchall()


def _l1db(site: Site) -> dict[str, object]:
    with site.resources["l1db"].open() as store:
        assert not store.verify()
        return dict(store.science_digest()) | dict(store.row_counts())


def test_a_night_run_twice_leaves_the_same_rows(site: Site) -> None:
    site.prepare_visits()
    first = site.ap()
    site.run("nightly", NIGHT)
    once = _archived(site), _l1db(site)

    site.prepare_visits()
    second = site.ap()
    site.run("nightly", NIGHT)

    assert (_archived(site), _l1db(site)) == once
    assert len(once[0]) == 1
    assert once[1]["L1DbProtoVisits"] == N_VISITS
    # a point a visit that was stored, on the page of the run that stored it
    (costs,) = _observed(first)
    slowest = costs["slowest"].value
    seconds = [record.data["seconds"] for record in slowest.records]
    assert seconds == sorted(seconds, reverse=True)
    assert len(seconds) == min(N_VISITS, 10)
    assert str(costs["picture/visits"].value).startswith("![visits](data:image/png")
    assert not _observed(second)


def _observed(result: dg.ExecuteInProcessResult) -> list[Any]:
    seen = result.asset_observations_for_node("l1db_write_batches")
    return [observation.metadata for observation in seen]


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        found.check_name: found.passed for found in result.get_asset_check_evaluations()
    }


def test_the_checks_of_a_sound_night_pass(site: Site) -> None:
    night = site.run("nominal_night", NIGHT, site.from_file())
    site.run("night_visits", NIGHT, FEW_SOURCES)
    site.ap(site.visit_tags(last=2))
    results = [night, site.run("timing_report"), site.run("verify_l1db")]

    found = {name: ok for result in results for name, ok in _checks(result).items()}

    assert found == dict.fromkeys(
        (
            "environment_is_ready",
            "visits_are_sane",
            "hashes_hold",
            "statistics_present",
            "lists_nominal",
            "growth_within_model",
            "visits_in_time",
            "store_is_consistent",
            "database_answers",
        ),
        True,
    )


def test_visits_outside_the_night_are_not_archived(site: Site) -> None:
    write_opsim(site.folder / "other.db", night="2026-10-09")
    config = site.from_file()
    next(iter(config["ops"].values()))["config"]["opsim_file"] = str(
        site.folder / "other.db"
    )

    result = site.run("nominal_night", NIGHT, config, raise_on_error=False)

    assert not result.success
    assert _checks(result)["visits_are_sane"] is False
    assert not site.instance.get_latest_materialization_event(simulation_key(NOMINAL))


def _event(site: Site, key: dg.AssetKey, partition: str) -> Any:
    event = site.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
    )
    found = event.records[0].asset_materialization
    assert found is not None
    return {name: value.value for name, value in found.metadata.items()}


def _two_sequences(site: Site) -> str:
    """Archive the night, then the night before whose second night it is, too."""
    site.archive_night()
    longer = write_opsim(site.folder / "longer.db", 4, night="2026-10-09")
    site.archive_night("2026-10-09", longer, n_nights=2)
    return str(_event(site, archived_key(NOMINAL), NIGHT)["visitseq_uuid"])


def test_a_night_takes_the_sequence_that_its_own_partition_archived(
    site: Site,
) -> None:
    own = _two_sequences(site)

    site.run("night_visits", NIGHT, FEW_SOURCES)

    event = _event(site, NIGHT_VISITS_KEY, NIGHT)
    assert (event["visitseq_uuid"], event["visits"]) == (own, N_VISITS)


def test_write_batches_keep_to_the_sequence_that_the_night_was_registered_with(
    site: Site,
) -> None:
    site.prepare_visits()
    registered = str(_event(site, NIGHT_VISITS_KEY, NIGHT)["visitseq_uuid"])
    other = write_opsim(site.folder / "other.db", N_VISITS + 3)
    site.archive_night(opsim=other)

    site.ap()
    site.ap()  # already stored

    visit = f"{NIGHT.replace('-', '')}-00001"
    event = _event(site, STORED_KEY, visit)
    assert event["outcome"] == "already stored"
    assert event["visitseq_uuid"] == registered
    assert _event(site, archived_key(NOMINAL), NIGHT)["visitseq_uuid"] != registered


def test_the_visits_stored_under_a_night_are_of_one_sequence(site: Site) -> None:
    site.prepare_visits()
    site.ap(site.visit_tags(last=2))
    other = write_opsim(site.folder / "other.db", N_VISITS + 3)
    site.archive_night(opsim=other)
    site.run("night_visits", NIGHT, FEW_SOURCES)
    rows = _l1db(site)

    with pytest.raises(dg.Failure, match=r"are stored from sequence .* not from"):
        site.ap(site.visit_tags(first=3, last=5))

    assert _l1db(site) == rows


def test_a_night_in_which_nothing_was_observed_is_registered(site: Site) -> None:
    night = write_opsim(site.folder / "empty.db")
    with closing(sqlite3.connect(night)) as connection:
        connection.execute("DELETE FROM observations")
        connection.commit()
    with site.resources["archive_metadata"].open() as archive:
        archive_visit_sequence(
            vsarch=archive,
            store=site.resources["data_store"].open(),
            visits=night,
            label="closed",
            tags=NOMINAL.variant.tags,
            first_day_obs=NIGHT,
            last_day_obs=NIGHT,
            stats_columns=(),
        )

    site.run("night_visits", NIGHT, FEW_SOURCES)

    assert _event(site, NIGHT_VISITS_KEY, NIGHT)["visits"] == 0


def test_a_changed_object_fails_the_verification(site: Site) -> None:
    site.archive_night()
    (visits,) = (site.folder / "store").rglob("visits.h5")
    visits.write_bytes(visits.read_bytes()[:-1])

    result = site.run("verify")

    assert _checks(result)["archive_is_sound"] is False
    assert site.run("gc").success
    assert visits.exists()


def test_an_unreachable_database_is_said_by_a_check_and_recovers(site: Site) -> None:
    site.run("set_up", config=FEW_SOURCES)
    other = make_conninfo(**{**site.connection, "dbname": "postgres"})
    with psycopg.connect(other, autocommit=True) as connection:
        name = psycopg.sql.Identifier(site.connection["dbname"])
        allow = psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(name, psycopg.sql.SQL("false")))
        away = site.run("verify_l1db", raise_on_error=False)
        connection.execute(allow.format(name, psycopg.sql.SQL("true")))
    back = site.run("verify_l1db")

    assert _checks(away)["database_answers"] is False
    assert _checks(back)["database_answers"] is True
