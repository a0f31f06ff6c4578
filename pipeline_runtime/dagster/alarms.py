"""True alarms: what failed for good, one message a cause, over the whole instance.

Runs that ended are read once each, of every job of every code location. A failed run
is reported when no attempt follows it: not one that Dagster will retry, not one that
the sensors ``resubmit_...`` submit again, not one whose work succeeded later. Failed
checks of runs that succeeded are reported, too; a night that is late is such a check.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import dagster as dg

from pipeline_runtime.alarms import Alarm, Channel, alarm_channels, one_line
from pipeline_runtime.dagster.resubmit import is_resubmitted, resubmission_key
from pipeline_runtime.dagster.run_tags import work_name
from pipeline_runtime.dagster.sensors import sensor
from pipeline_runtime.environment import text_of

__all__ = ["alarm_sensor", "alarms_of", "error_line", "night_of_run", "run_link"]

_WORK_TAGS = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
_NIGHT_TAG = "l1db/night"
_RUNS_PER_TICK = 200
_OVERLAP_S = 60.0  # a run may be recorded after one that ended later
_FIRST_LOOK_S = 3600.0
_LONGEST_WAIT_S = 3600.0  # for an attempt that should follow
_LONGEST_UNSENT_S = 86_400.0
_REMEMBERED = 1000
_FAILED, _SUCCEEDED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@dataclass(slots=True)
class _Memory:
    """What a tick leaves to the next: the cursor of the sensor."""

    since: float
    seen: list[str] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    """Runs that are not judged, or not told everywhere, and since when."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """By cause, the channels that took its message."""

    @classmethod
    def read(cls, cursor: str | None, now: float) -> "_Memory":
        """Read a cursor; one that is lost or spoilt begins an hour ago."""
        try:
            return cls(**json.loads(cursor or ""))
        except (ValueError, TypeError):
            return cls(since=now - _FIRST_LOOK_S)

    def write(self) -> str:
        self.told = dict(list(self.told.items())[-_REMEMBERED:])
        return json.dumps(asdict(self))


def alarm_sensor(
    page_of: Callable[[str], str], on_failure: Callable[[dg.DagsterRun], None]
) -> dg.SensorDefinition:
    """Return the sensor ``alarm``; one is enough for all code locations.

    Parameters
    ----------
    page_of
        Gives the place of a night's page, to be linked.
    on_failure
        Called once for each run that failed for good.
    """

    @sensor(
        name="alarm",
        description=(
            "Report final failures and failed checks of every job to the person on "
            "duty: in the sensor's log, and through $ALARM_URLS."
        ),
    )
    def alarm(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = _Memory.read(context.cursor, datetime.now(UTC).timestamp())
        channels = alarm_channels()
        runs, since = _ended(context.instance, memory)
        for run in runs:
            if _is_judged(context.instance, run, memory):
                failed = list(alarms_of(context.instance, run, page_of))
                if _tell(context, run, failed, channels, memory) and run.is_failure:
                    on_failure(run)
        memory.since = since
        return dg.SensorResult(cursor=memory.write())

    return alarm


def _ended(
    instance: dg.DagsterInstance, memory: _Memory
) -> tuple[list[dg.DagsterRun], float]:
    """Return the runs to judge: those that wait, then those that ended since."""
    after = datetime.fromtimestamp(memory.since - _OVERLAP_S, UTC)
    records = instance.get_run_records(
        filters=dg.RunsFilter(statuses=[_FAILED, _SUCCEEDED], updated_after=after),
        limit=_RUNS_PER_TICK,
        order_by="update_timestamp",
        ascending=True,
    )
    updated = {
        record.dagster_run.run_id: record.update_timestamp.replace(
            tzinfo=UTC
        ).timestamp()
        for record in records
    }
    waiting = [instance.get_run_by_id(run_id) for run_id in memory.waiting]
    known = {*memory.seen, *memory.waiting}
    new = [r.dagster_run for r in records if r.dagster_run.run_id not in known]
    since = max([memory.since, *updated.values()])
    memory.seen = [name for name, at in updated.items() if at >= since - _OVERLAP_S]
    return [*(run for run in waiting if run is not None), *new], since


def _is_judged(
    instance: dg.DagsterInstance, run: dg.DagsterRun, memory: _Memory
) -> bool:
    """Tell whether a run can be judged now; else it waits."""
    if run.status != _FAILED or not _may_follow(instance, run):
        return True
    now = datetime.now(UTC).timestamp()
    return now - memory.waiting.setdefault(run.run_id, now) > _LONGEST_WAIT_S


def _tell(
    context: dg.SensorEvaluationContext,
    run: dg.DagsterRun,
    alarms: Sequence[Alarm],
    channels: Sequence[Channel],
    memory: _Memory,
) -> bool:
    """Send what is to be reported of a run; tell whether any of it is new.

    A run waits for the next tick while a channel does not take its messages.
    """
    now = datetime.now(UTC).timestamp()
    since = memory.waiting.pop(run.run_id, now)
    _forget(memory, tuple(_passed_checks(context.instance, run)))
    is_new = False
    for alarm in alarms:
        if alarm.cause not in memory.told:
            is_new = True
            context.log.error("%s", alarm.text)
        taken = memory.told.setdefault(alarm.cause, [])
        refused = [
            channel
            for channel in channels
            if channel.key not in taken and not channel.send(alarm)
        ]
        taken += [c.key for c in channels if c.key not in taken and c not in refused]
        if refused and now - since < _LONGEST_UNSENT_S:
            names = ", ".join(channel.name for channel in refused)
            context.log.warning(
                "%s did not accept the message; it will be sent again", names
            )
            memory.waiting[run.run_id] = since
    return is_new


def _forget(memory: _Memory, beginnings: tuple[str, ...]) -> None:
    """Forget what was told of checks that passed: they may fail again."""
    memory.told = {
        cause: taken
        for cause, taken in memory.told.items()
        if not cause.startswith(beginnings)
    }


def _may_follow(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether another attempt at a failed run's work is still to be ordered."""
    verdict = run.tags.get("dagster/will_retry")
    if verdict is None:  # Dagster adds it just after the failure
        return instance.run_retries_enabled
    if verdict == "true" or not is_resubmitted(instance, run):
        return False  # alarms_of sees what followed
    return not _resubmitted(instance, run)


def _resubmitted(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    tags = {"dagster/run_key": resubmission_key(run)}
    return instance.get_runs_count(dg.RunsFilter(tags=tags)) > 0


def alarms_of(
    instance: dg.DagsterInstance, run: dg.DagsterRun, page_of: Callable[[str], str]
) -> Iterator[Alarm]:
    """Yield what is to be reported of a run that ended; nothing of one that is well."""
    night = night_of_run(run)
    links = [f"run: {run_link(run.run_id)}"]
    if night:
        links.append(f"night: {page_of(night)}")
    if run.status == _FAILED:
        if not _is_followed(instance, run):
            yield Alarm(
                cause=f"run:{run.run_id}",
                title=f"{work_name(run)}{_of_night(run)} failed",
                lines=(error_line(instance, run.run_id), *links),
            )
        return
    for check in _checks(instance, run):
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
            said = one_line(check.description or "no reason given")
            digest = hashlib.sha256(said.encode()).hexdigest()[:12]
            yield Alarm(
                cause=f"{_check_cause(check, run)}{digest}",
                title=f"check {check.check_name}{_of_night(run)} failed",
                lines=(f"{check.asset_key.to_user_string()}: {said}", *links),
            )


def _passed_checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[str]:
    """Yield how the causes of checks begin that passed: they may fail again."""
    for check in _checks(instance, run):
        if check.passed:
            yield _check_cause(check, run)


def _check_cause(check: dg.AssetCheckEvaluation, run: dg.DagsterRun) -> str:
    name = f"{check.asset_key.to_user_string()}:{check.check_name}"
    return f"check:{name}:{night_of_run(run)}:"


def _checks(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> Iterator[dg.AssetCheckEvaluation]:
    for entry in instance.all_logs(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        data = entry.dagster_event and entry.dagster_event.event_specific_data
        if isinstance(data, dg.AssetCheckEvaluation):
            yield data


def _is_followed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Tell whether a failed run is not the end of it: another attempt judges."""
    if run.tags.get("dagster/will_retry") == "true" or _resubmitted(instance, run):
        return True
    _, group = instance.get_run_group(run.run_id) or ("", [])
    if any(other.parent_run_id == run.run_id for other in group):
        return True
    record = instance.get_run_record_by_id(run.run_id)
    if record is None or record.end_time is None:
        return False
    later = instance.get_runs(
        filters=dg.RunsFilter(
            job_name=run.job_name,
            statuses=[_SUCCEEDED],
            tags={tag: run.tags[tag] for tag in _WORK_TAGS if tag in run.tags},
            created_after=datetime.fromtimestamp(record.end_time, UTC),
        )
    )
    return any(_work(other) == _work(run) for other in later)


def _work(run: dg.DagsterRun) -> tuple[object, ...]:
    """Return what a run was to do, to compare it with another of the same job."""
    tags = (run.tags.get(tag) for tag in _WORK_TAGS)
    return (frozenset(run.asset_selection or ()), *tags)


def night_of_run(run: dg.DagsterRun) -> str:
    """Return the night that a run is for, or nothing."""
    return run.tags.get(_NIGHT_TAG) or run.tags.get("dagster/partition", "")


def _of_night(run: dg.DagsterRun) -> str:
    night = night_of_run(run)
    return f" of {night}" if night else ""


def run_link(run_id: str) -> str:
    """Return the address of a run's page in the web UI."""
    return f"{text_of('DAGSTER_URL').rstrip('/')}/runs/{run_id}"


def error_line(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return in one line why a run failed: step and error, else what Dagster says."""
    line = "no reason is recorded"
    failures = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run_id, of_type=failures):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            if said := data.user_failure_data and data.user_failure_data.description:
                return one_line(f"{event.step_key}: {said}")
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            return one_line(f"{event.step_key}: {error.message if error else ''}")
        line = one_line(event.message or line)
    return line
