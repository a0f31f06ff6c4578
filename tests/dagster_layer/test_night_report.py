"""The page of a night tells what was done, what failed and what to do."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_layer.real_site import Site, site_on
from databases import new_database
from opsim_night import N_VISITS, NIGHT

from archive_assets import definitions as archive
from archive_assets.cli.prenight import main
from archive_assets.defs.names import NOMINAL

pytestmark = pytest.mark.postgresql


def _page(site: Site, *options: str) -> tuple[int, str]:
    index = site.resources["prenight_index_store"].url
    done = CliRunner().invoke(main, ["status", "--index", index, *options])
    return done.exit_code, done.output


def _section(site: Site, title: str) -> dict[str, Any]:
    _, said = _page(site, "--json")
    (found,) = (s for s in json.loads(said)["sections"] if s["title"] == title)
    return dict(found)


@pytest.fixture(scope="module")
def whole_night(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A night that is simulated, archived, published and stored, and has its page."""
    folder = tmp_path_factory.mktemp("whole_night")
    with (
        new_database(postgres_dsn) as dsn,
        dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance,
    ):
        site = site_on(folder, dsn, instance)
        site.prepare_visits()
        site.run("prenight_index", NIGHT)
        site.ap()
        site.run("night_report", NIGHT)
        yield site


def test_a_page_tells_the_whole_night(whole_night: Site) -> None:
    archived = _section(whole_night, "Simulated and archived")
    stored = _section(whole_night, "Stored by the AP prototype")
    published = _section(whole_night, "Published in the index")

    (row,) = archived["rows"]
    assert row[:2] == [NOMINAL.name, str(N_VISITS + 2)]  # of two nights
    assert "missing: " in archived["summary"]  # the other variants were not simulated
    assert NOMINAL.name not in archived["summary"]
    assert stored["summary"] == f"{N_VISITS} of {N_VISITS} visits; the slowest:"
    assert [len(visit) for visit, *_ in stored["rows"]] == [14] * N_VISITS
    seconds = [float(row[1]) for row in stored["rows"]]
    assert seconds == sorted(seconds, reverse=True)
    assert published["is_well"]


def test_the_command_the_page_and_the_asset_have_one_text(whole_night: Site) -> None:
    event = whole_night.instance.get_latest_materialization_event(
        dg.AssetKey(["archive", "night_report"])
    )
    assert event is not None
    assert event.asset_materialization is not None

    shown = event.asset_materialization.metadata["text"].value
    exit_code, said = _page(whole_night, "--day-obs", NIGHT)
    html = _html(whole_night)

    assert shown == f"```\n{said}```"
    assert exit_code == 1  # variants are missing
    for line in ("Simulated and archived", f"{N_VISITS} of {N_VISITS} visits"):
        assert line in said
        assert line in html
    assert html.count("<img") == 3


def _html(site: Site, name: str = NIGHT) -> str:
    return (site.folder / "index" / "nights" / f"{name}.html").read_text()


def test_a_page_is_written_although_the_archive_is_away(
    site: Site, tmp_path: Path
) -> None:
    away = dict(site.resources["archive_metadata"]) | {"host": str(tmp_path / "gone")}
    resources = {
        **site.resources,
        "archive_metadata": type(site.resources["archive_metadata"])(**away),
    }
    job = archive.build_definitions(resources).resolve_job_def("night_report")
    job.execute_in_process(partition_key=NIGHT, instance=site.instance)

    archived = _section(site, "Simulated and archived")
    assert not archived["is_well"]
    assert archived["summary"].startswith("unknown: ")


def test_what_failed_for_good_is_on_the_page_with_its_error(site: Site) -> None:
    broken = site.from_file(site.folder / "no-such-file.db")
    site.run("nominal_night", NIGHT, broken, raise_on_error=False)
    site.run("night_report", NIGHT)

    failures = _section(site, "Failures")

    ((title, error, link),) = failures["rows"]
    assert title == f"nominal_night of {NIGHT} failed"
    assert "no-such-file.db" in error
    assert link.startswith("http://127.0.0.1:3000/runs/")
    assert not failures["is_well"]


def test_an_older_nights_page_does_not_become_the_latest(site: Site) -> None:
    site.run("night_report", NIGHT)
    site.run("night_report", "2026-10-09")

    exit_code, said = _page(site)

    assert exit_code == 1
    assert said.startswith(f"night {NIGHT}: look at ")
    assert "2026-10-09" in _html(site, "2026-10-09")


def test_a_night_without_a_page_is_an_error_that_says_what_to_do(site: Site) -> None:
    exit_code, said = _page(site, "--day-obs", NIGHT)

    assert exit_code == 1
    assert f"there is no page of {NIGHT}" in said
    assert "launch the job night_report" in said


def test_the_schedule_asks_for_tonight_and_last_night() -> None:
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 10, 10, 15, 30, tzinfo=UTC),
        repository_def=archive.defs().get_repository_def(),
    )

    asked = (
        archive.defs()
        .resolve_schedule_def("night_report_is_due")
        .evaluate_tick(context)
    )

    nights = [request.partition_key for request in asked.run_requests or ()]
    assert nights == ["2026-10-09", NIGHT]
