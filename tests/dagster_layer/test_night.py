"""A night through both locations on real resources, and again: the same rows."""

import dagster as dg
import psycopg
import psycopg.sql
import pytest
from dagster_layer.real_site import FEW_SOURCES, N_VISITS, NIGHT, Site, write_opsim
from pydantic import ValidationError

from archive_assets.defs.care import GarbageConfig
from archive_assets.defs.names import NOMINAL, simulation_key
from archive_assets.defs.simulations import SimulationConfig
from l1db_pipeline.defs.night_visits import NightVisitsConfig
from l1db_pipeline.defs.reports import ReportConfig
from l1db_pipeline.defs.sources import SourcesConfig
from l1db_pipeline.defs.write_batches import WriteBatchesConfig

SIMULATION_OP = "__".join(simulation_key(NOMINAL).path)


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
    assert _checks(result) == {"visits_are_sane": False}
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


@pytest.mark.parametrize(
    ("job", "op", "config", "message"),
    [
        ("nominal_night", SIMULATION_OP, {"seed": "a"}, "seed"),
        ("timing_report", "l1db__timing_report", {"most_secs": 1}, "most_secs"),
        ("gc", "collect", {"trash_days": "many"}, "trash_days"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused_before_the_run(
    site: Site, job: str, op: str, config: dict[str, object], message: str
) -> None:
    night = NIGHT if job == "nominal_night" else None

    with pytest.raises(dg.DagsterInvalidConfigError, match=message):
        site.run(job, night, {"ops": {op: {"config": config}}})

    assert not site.instance.get_runs_count()


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        (SimulationConfig, {"n_nights": -1}, "greater than or equal to 0"),
        (SimulationConfig, {"n_nights": 500}, "less than or equal to 400"),
        (WriteBatchesConfig, {"n_noise": -5}, "greater than or equal to 0"),
        (SourcesConfig, {"hemisphere": 2}, "less than or equal to 1"),
        (ReportConfig, {"most_seconds": 0}, "greater than 0"),
        (NightVisitsConfig, {"keep_nights": 0}, "greater than or equal to 1"),
        (GarbageConfig, {"trash_days": 0}, "greater than or equal to 1"),
    ],
)
def test_a_form_refuses_impossible_values_in_its_own_terms(
    form: type[dg.Config], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        form(**values)
