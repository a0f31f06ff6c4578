"""A night through both locations on real resources, and again: the same rows."""

import dagster as dg
import psycopg
import psycopg.sql
from dagster_layer.real_site import FEW_SOURCES, N_VISITS, NIGHT, Site, write_opsim

from archive_assets.defs.names import NOMINAL, simulation_key


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
    site.ap()
    site.run("nightly", NIGHT)
    once = _archived(site), _l1db(site)

    site.prepare_visits()
    site.ap()
    site.run("nightly", NIGHT)

    assert (_archived(site), _l1db(site)) == once
    assert len(once[0]) == 1
    assert once[1]["L1DbProtoVisits"] == N_VISITS


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


def test_a_changed_object_fails_the_verification(site: Site) -> None:
    site.run("nominal_night", NIGHT, site.from_file())
    (visits,) = (site.folder / "store").rglob("visits.h5")
    visits.write_bytes(visits.read_bytes()[:-1])

    result = site.run("verify")

    assert _checks(result)["archive_is_sound"] is False
    assert site.run("gc").success
    assert visits.exists()


def test_an_unreachable_database_is_said_by_a_check_and_recovers(site: Site) -> None:
    site.run("set_up", config=FEW_SOURCES)
    with psycopg.connect(
        **{**site.connection, "dbname": "postgres"}, autocommit=True
    ) as connection:
        name = psycopg.sql.Identifier(site.connection["dbname"])
        allow = psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(name, psycopg.sql.SQL("false")))
        away = site.run("verify_l1db", raise_on_error=False)
        connection.execute(allow.format(name, psycopg.sql.SQL("true")))
    back = site.run("verify_l1db")

    assert _checks(away)["database_answers"] is False
    assert _checks(back)["database_answers"] is True
