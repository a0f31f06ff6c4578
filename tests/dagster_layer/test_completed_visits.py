"""Where simulations start: completed visits are archived, and linked as the parent."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from dagster_layer.real_site import Site
from opsim_night import N_VISITS, NIGHT, write_opsim

from archive_assets import definitions as archive
from archive_assets.defs.names import NOMINAL, completed_key, simulation_key
from visit_tables.hdf5.read import read_visits

KEY = completed_key(NOMINAL.telescope)


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node("__".join(KEY.path))
    return {name: value.value for name, value in event.metadata.items()}


def _completed_only(site: Site) -> dg.ExecuteInProcessResult:
    return site.run("nominal_night", NIGHT, asset_selection=[KEY])


def test_a_site_without_completed_visits_says_that_simulations_start_empty(
    site: Site,
) -> None:
    found = _metadata(_completed_only(site))

    assert found == {"visits": 0, "start": "empty: none are configured"}


@pytest.fixture
def observing_site(site: Site, tmp_path: Path) -> Site:
    """A site that has observed the night before, and this one too by now."""
    completed = write_opsim(tmp_path / "completed.db", n_visits=4, night="2026-10-09")
    return site.with_simulations(completed_visits={"simonyi": str(completed)})


def test_simulations_start_from_the_archived_visits_before_their_night(
    observing_site: Site,
) -> None:
    found = _metadata(_completed_only(observing_site))

    start = observing_site.resources["simulations"].starting_point(
        NOMINAL.telescope, date.fromisoformat(NIGHT)
    )
    with psycopg.connect(**observing_site.connection) as connection:  # type: ignore[arg-type]
        rows = connection.execute(
            "SELECT visitseq_uuid, last_day_obs FROM vsmd.completed"
        ).fetchall()
    # the file has two visits of the night itself: those are to be simulated
    assert found["visits"] == len(read_visits(start.path)) == 4
    assert rows == [(start.visitseq_uuid, date(2026, 10, 9))]
    assert found["visitseq_uuid"] == str(start.visitseq_uuid)


def test_a_simulated_night_is_archived_with_its_start_as_parent(
    observing_site: Site,
) -> None:
    program = Path(__file__).parents[1] / "live" / "site" / "simulate_night.py"
    simulating = observing_site.with_simulations(
        command=f"{sys.executable} {program} {{day_obs}} 0 6 {{opsim}}"
    )

    result = simulating.run("nominal_night", NIGHT)

    with psycopg.connect(**simulating.connection) as connection:  # type: ignore[arg-type]
        rows = connection.execute(
            "SELECT parent_visitseq_uuid, parent_last_day_obs FROM vsmd.simulations"
        ).fetchall()
    parent = UUID(str(_metadata(result)["visitseq_uuid"]))
    assert rows == [(parent, date(2026, 10, 9))]


def test_the_morning_after_tells_which_variant_came_true(site: Site) -> None:
    site.archive_night()
    observed = site.with_simulations(completed_visits={"simonyi": str(site.opsim)})

    result = observed.run("completed_comparison", NIGHT)
    observed.run("night_report", NIGHT)

    (event,) = result.asset_materializations_for_node("archive__completed_comparison")
    page = (site.folder / "index" / "nights" / f"{NIGHT}.html").read_text()
    answer = (
        f"{NOMINAL.variant.name} came true: {N_VISITS} of {N_VISITS} completed visits "
        "(100%) are in it, on time (median)"
    )
    assert event.metadata["answer"].value == answer
    assert event.metadata[f"matched/{NOMINAL.variant.name}"].value == 1.0
    assert answer in page


def test_a_night_that_is_not_observed_yet_is_no_failure(observing_site: Site) -> None:
    result = observing_site.run("completed_comparison", "2026-11-11")

    (event,) = result.asset_materializations_for_node("archive__completed_comparison")
    assert event.metadata["completed"].value == 0
    assert "no completed visits of the night" in str(event.metadata["answer"].value)


def test_the_comparison_is_asked_for_last_night() -> None:
    location = archive.defs()
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 10, 10, 15, 30, tzinfo=UTC),
        repository_def=location.get_repository_def(),
    )
    schedule = location.resolve_schedule_def("completed_comparison_is_due")

    (request,) = schedule.evaluate_tick(context).run_requests or ()

    assert request.partition_key == "2026-10-09"


def test_completed_visits_kept_again_are_the_same_sequence(
    observing_site: Site,
) -> None:
    again = [_metadata(_completed_only(observing_site)) for _ in range(2)]

    assert again[0] == again[1]


def test_a_simulation_does_not_start_empty_where_visits_were_completed(
    observing_site: Site,
) -> None:
    with pytest.raises(dg.Failure, match="materialize completed_visits of the night"):
        observing_site.run(
            "nominal_night", NIGHT, asset_selection=[simulation_key(NOMINAL)]
        )


def test_without_the_file_of_completed_visits_nothing_is_simulated(
    site: Site,
) -> None:
    broken = site.with_simulations(completed_visits={"simonyi": "/no/visits.db"})

    result = broken.run("nominal_night", NIGHT, raise_on_error=False)

    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "no file of the completed visits of simonyi" in str(check.description)
    assert not site.instance.get_latest_materialization_event(simulation_key(NOMINAL))
