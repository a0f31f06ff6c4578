"""What follows by itself: once, and not at all what a run does itself."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
import pytest
from dagster_layer.real_site import Site
from opsim_night import NIGHT

from archive_assets import definitions as archive
from archive_assets.defs.index import TONIGHT_CHECK
from archive_assets.defs.names import NOMINAL, archived_key, plans, simulation_key
from archive_assets.defs.resources import DataStoreResource
from l1db_pipeline import definitions as l1db

INDEX = dg.AssetKey(["archive", "prenight_index"])
REPORT = dg.AssetKey(["archive", "night_report"])
MERGED = dg.AssetKey(["l1db", "nightly_merge"])
NIGHT_VISITS = dg.AssetKey(["l1db", "night_visits"])
WITH_INDEX = {
    INDEX,
    REPORT,
    dg.AssetKey(["archive", "nightly_statistics"]),
    dg.AssetKey(["archive", "night_comparison"]),
}
ORDER = [archived_key(NOMINAL), *sorted(WITH_INDEX - {REPORT}), REPORT, NIGHT_VISITS]
FOLLOWERS = [
    (simulation_key(NOMINAL), WITH_INDEX | {archived_key(NOMINAL)}),
    (archived_key(NOMINAL), WITH_INDEX | {NIGHT_VISITS}),
    (INDEX, {REPORT}),
    (MERGED, {REPORT}),
]
IDS = ["simulated", "archived", "published", "merged"]


@dataclass
class Daemon:
    """What the daemon does with the conditions of both locations, tick by tick."""

    instance: dg.DagsterInstance
    locations: tuple[dg.Definitions, ...] = (archive.defs(), l1db.defs())
    cursors: dict[int, Any] = field(default_factory=dict)
    asked: list[tuple[dg.AssetKey, str]] = field(default_factory=list)
    seen: int | None = None
    """Newest event that the next tick sees, if not all."""

    def late_tick(self) -> None:
        """Tick as one that began when the tick before it ended: it sees no event since.

        What is in progress it sees as it is now.
        """
        storage = self.instance.event_log_storage
        newest = storage.get_maximum_record_id()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "get_maximum_record_id", lambda: self.seen)
            # any: the tick then keeps to that bound
            patch.setenv("DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS", "0.001")
            self.tick()
        self.seen = newest

    def tick(self) -> set[dg.AssetKey]:
        """Evaluate every condition once; return the assets that are asked for."""
        found: set[dg.AssetKey] = set()
        for place, definitions in enumerate(self.locations):
            done = dg.evaluate_automation_conditions(
                definitions, self.instance, cursor=self.cursors.get(place)
            )
            self.cursors[place] = done.cursor
            for result in done.results:
                if not isinstance(result.key, dg.AssetKey):
                    assert result.true_subset.is_empty  # a check goes with its asset
                    continue
                for partition in done.get_requested_partitions(result.key):
                    self.asked.append((result.key, str(partition)))
                    found.add(result.key)
        return found


@pytest.fixture
def daemon(instance: dg.DagsterInstance) -> Daemon:
    """A daemon that has looked at the empty instance."""
    made = Daemon(instance)
    assert not made.tick()
    return made


def _made(instance: dg.DagsterInstance, *keys: dg.AssetKey) -> None:
    for key in keys:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(key, partition=NIGHT)
        )


@pytest.mark.parametrize(("made", "followers"), FOLLOWERS, ids=IDS)
def test_what_is_made_is_followed_once(
    made: dg.AssetKey, followers: set[dg.AssetKey], daemon: Daemon
) -> None:
    _made(daemon.instance, made)

    assert daemon.tick() == followers
    assert {night for _, night in daemon.asked} == {NIGHT}
    assert not daemon.tick()


@pytest.mark.parametrize(("made", "followers"), FOLLOWERS, ids=IDS)
def test_what_was_made_before_the_daemon_started_is_followed(
    made: dg.AssetKey, followers: set[dg.AssetKey], instance: dg.DagsterInstance
) -> None:
    _made(instance, made)

    assert Daemon(instance).tick() == followers


@pytest.mark.parametrize(("made", "followers"), FOLLOWERS, ids=IDS)
def test_what_was_followed_by_hand_is_passed_over(
    made: dg.AssetKey, followers: set[dg.AssetKey], daemon: Daemon
) -> None:
    _made(daemon.instance, made, *sorted(followers, key=ORDER.index))

    assert not daemon.tick() & followers


def test_what_is_made_again_is_followed_again(daemon: Daemon) -> None:
    key = simulation_key(NOMINAL)
    for _ in range(2):
        _made(daemon.instance, key)
        daemon.tick()

    assert daemon.asked.count((archived_key(NOMINAL), NIGHT)) == 2


def test_variants_that_end_together_are_archived_together(daemon: Daemon) -> None:
    _made(daemon.instance, *map(simulation_key, plans()))

    assert daemon.tick() == WITH_INDEX | set(map(archived_key, plans()))


def _ticking(site: Site, job: str, tick: Callable[[], object]) -> Callable[..., Any]:
    """Return what runs a job of the archive, the daemon ticking after each step."""

    @dg.success_hook(name="tick")
    def ticks(_: dg.HookContext) -> None:
        tick()

    hooked = site.archive.resolve_job_def(job).with_hooks({ticks})
    return hooked.execute_in_process


@pytest.mark.postgresql
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_a_night_in_one_run_causes_no_run_but_that_of_its_visits(
    late: bool, site: Site, daemon: Daemon
) -> None:
    daemon.seen = site.instance.event_log_storage.get_maximum_record_id()
    tick = daemon.late_tick if late else daemon.tick
    run = _ticking(site, "nominal_night", tick)

    run(partition_key=NIGHT, run_config=site.from_file(), instance=site.instance)

    daemon.tick()
    daemon.tick()
    assert daemon.asked == [(NIGHT_VISITS, NIGHT)]


@pytest.mark.postgresql
def test_what_a_run_left_undone_is_followed_after_its_end(
    site: Site, daemon: Daemon
) -> None:
    resources = {
        **site.resources,
        "data_store": DataStoreResource(url="s3://user:secret@host/"),
    }
    away = replace(site, archive=archive.build_definitions(resources))
    run = _ticking(away, "nominal_night", daemon.tick)

    done = run(
        partition_key=NIGHT,
        run_config=site.from_file(),
        instance=site.instance,
        asset_selection=[simulation_key(NOMINAL), archived_key(NOMINAL)],
        raise_on_error=False,
    )

    assert not done.success
    daemon.tick()  # may have begun before what the run made last
    assert not daemon.asked  # while the run might still have archived it
    assert daemon.tick() == WITH_INDEX | {archived_key(NOMINAL)}


def test_the_check_of_tonight_runs_with_no_index() -> None:
    # Dagster runs checks with their asset that have no condition of their own
    graph = archive.defs().resolve_asset_graph()

    assert graph.get(TONIGHT_CHECK).automation_condition is not None
