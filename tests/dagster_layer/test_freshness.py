"""The index goes stale: the daemon that judges its freshness says so."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateRecord
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

INDEX = dg.AssetKey(["archive", "prenight_index"])
ARCHIVE = InProcessCodeLocationOrigin(
    LoadableTargetOrigin(module_name="archive_assets.definitions"),
    location_name="archive_assets",
)


def _judged(process: WorkspaceProcessContext, hours: float) -> FreshnessState | None:
    """Let the daemon judge so many hours after now; return what the UI then shows."""
    with freeze_time(datetime.now(UTC) + timedelta(hours=hours)):
        list(FreshnessDaemon().run_iteration(process))
    context = process.create_request_context()
    found = asyncio.run(FreshnessStateRecord.gen(context, INDEX))
    return found.freshness_state if found else None


# Dagster 1.13 asks every schedule for it when it loads a location in this process
@pytest.mark.filterwarnings("ignore:.*environment_vars")
def test_an_index_that_nobody_published_for_long_is_not_fresh(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(INDEX, partition="2026-10-10")
        )
        target = InProcessWorkspaceLoadTarget(ARCHIVE)
        with WorkspaceProcessContext(instance, target) as process:
            states = [_judged(process, hours) for hours in (1, 27, 37)]

    assert states == [FreshnessState.PASS, FreshnessState.WARN, FreshnessState.FAIL]
