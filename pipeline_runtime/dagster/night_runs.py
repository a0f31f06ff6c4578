"""What Dagster knows of a night: its runs, retries, failures and checks."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from pipeline_runtime.dagster.alarms import alarms_of, run_link
from pipeline_runtime.dagster.run_tags import UPKEEP, work_name

__all__ = ["NightRuns", "SlowPartition", "night_runs", "slowest", "upkeep_runs"]

_NIGHT_TAGS = ("dagster/partition", "l1db/night")
_READ_AT_ONCE = 500
_UPKEEP_RUNS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class NightRuns:
    """The runs of a night.

    Attributes
    ----------
    runs
        Job, status and link of each, the newest first.
    failed
        Title, error line and link of what failed for good.
    checks
        Asset, check and problem of the latest evaluation that failed.
    n_checks, n_step_retries
        How many checks were evaluated, and steps tried again.
    """

    runs: Sequence[tuple[str, str, str]]
    failed: Sequence[tuple[str, str, str]]
    checks: Sequence[tuple[str, str, str]]
    n_checks: int
    n_step_retries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowPartition:
    """A partition and the seconds of its steps, the whole first."""

    key: str
    seconds: dict[str, float]


def night_runs(instance: dg.DagsterInstance, night: str) -> NightRuns:
    """Return what the runs of a night did."""
    of_night = {
        run.run_id: run
        for tag in _NIGHT_TAGS
        for run in instance.get_runs(filters=dg.RunsFilter(tags={tag: night}))
    }
    failed, checks = [], {}
    n_retries = 0
    for run in reversed(of_night.values()):  # the newest evaluation wins
        events = {
            dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            dg.DagsterEventType.STEP_RESTARTED,
        }
        for entry in instance.all_logs(run.run_id, of_type=events):
            event = entry.dagster_event
            data = event and event.event_specific_data
            if isinstance(data, dg.AssetCheckEvaluation):
                checks[data.asset_key.to_user_string(), data.check_name] = data
            else:
                n_retries += 1
        if run.is_failure:
            failed += [
                (alarm.title, alarm.lines[0], run_link(run.run_id))
                for alarm in alarms_of(instance, run, str)
            ]
    return NightRuns(
        runs=[
            (work_name(run), run.status.value.lower(), run_link(run.run_id))
            for run in of_night.values()
        ],
        failed=failed,
        checks=[
            (asset, name, found.description or "")
            for (asset, name), found in checks.items()
            if not found.passed
        ],
        n_checks=len(checks),
        n_step_retries=n_retries,
    )


def upkeep_runs(instance: dg.DagsterInstance) -> list[tuple[str, str, str, str]]:
    """Return the latest run of each job of upkeep: job, status, start, link."""
    records = instance.get_run_records(
        filters=dg.RunsFilter(tags=UPKEEP), limit=_UPKEEP_RUNS
    )
    latest = {record.dagster_run.job_name: record for record in reversed(records)}
    return [
        (
            name,
            record.dagster_run.status.value.lower(),
            f"{record.create_timestamp:%Y-%m-%d %H:%M}",
            run_link(record.dagster_run.run_id),
        )
        for name, record in sorted(latest.items())
    ]


def slowest(
    instance: dg.DagsterInstance,
    asset_key: dg.AssetKey,
    partitions: Sequence[str],
    *,
    whole: str,
    most: int,
) -> tuple[int, list[SlowPartition]]:
    """Return how many partitions are materialized, and the slowest of them.

    Parameters
    ----------
    asset_key
        Whose partitions; its events tell seconds as ``seconds/STEP``.
    whole
        The step that is all of it.
    most
        How many of the slowest.
    """
    found: dict[str, dict[str, float]] = {}
    for begin in range(0, len(partitions), _READ_AT_ONCE):
        part = list(partitions[begin : begin + _READ_AT_ONCE])
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=part),
            limit=2 * len(part),
        ).records
        for record in records:
            event = record.asset_materialization
            if event and event.partition:
                seconds = {
                    name.removeprefix("seconds/"): value.value
                    for name, value in event.metadata.items()
                    if name.startswith("seconds/")
                    and isinstance(value, dg.FloatMetadataValue)
                    and value.value is not None
                }
                found.setdefault(event.partition, {})
                if not found[event.partition]:  # a repeat has no timings
                    found[event.partition] = seconds
    timed = [
        SlowPartition(key=key, seconds={whole: of[whole]} | of)
        for key, of in found.items()
        if whole in of
    ]
    timed.sort(key=lambda one: -one.seconds[whole])
    return len(found), timed[:most]
