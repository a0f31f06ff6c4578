"""Alarms of real runs: ten failures of six kinds among twenty healthy retries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from web_hook import WebHook, web_hook

from pipeline_runtime.dagster.alarms import alarm_sensor
from pipeline_runtime.dagster.checks import check_result, refuse
from pipeline_runtime.dagster.resubmit import resubmission_key

NIGHT = "2026-10-10"
LOST = "the process of the run is gone"
nights = dg.DailyPartitionsDefinition("2026-10-01", end_offset=30)


class Fault(dg.Config):
    """What goes wrong."""

    kind: str = ""


@dg.asset(
    partitions_def=nights,
    retry_policy=dg.RetryPolicy(max_retries=1),
    check_specs=[dg.AssetCheckSpec("sound", asset="night", blocking=False)],
)
def night(context: dg.AssetExecutionContext, config: Fault) -> Iterator[Any]:
    """What a job makes, or not."""
    match config.kind:
        case "error":
            raise dg.Failure(allow_retries=False) from ValueError("no sky\nat all")
        case "guard":
            refuse(check_result("sound", ["visit 3 is not finite"]))
        case "retry" if context.retry_number == 0:
            raise dg.RetryRequested
        case _:
            problems = ["the night is unsound"] if config.kind == "check" else []
            yield check_result("sound", problems)
            yield dg.MaterializeResult()


@dg.resource
def broken(_: object) -> None:
    """Cannot be opened."""
    raise OSError("no server at 127.0.0.1:1")


@dg.asset(required_resource_keys={"database"}, partitions_def=nights)
def needs_database() -> None:
    """Never begins."""


@dg.asset_check(asset=night, name="tonight_is_published")
def late() -> dg.AssetCheckResult:
    """Find tonight late."""
    return check_result("tonight_is_published", ["the index of tonight is missing"])


definitions = dg.Definitions(
    assets=[night, needs_database],
    asset_checks=[late],
    resources={"database": broken},
    jobs=[
        dg.define_asset_job(
            "work",
            dg.AssetSelection.assets("night")
            - dg.AssetSelection.checks(late.check_key),
            executor_def=dg.in_process_executor,
        ),
        dg.define_asset_job("other", dg.AssetSelection.assets("needs_database")),
        dg.define_asset_job("due", dg.AssetSelection.checks(late.check_key)),
    ],
    sensors=[alarm_sensor("file:///pages/{}.html".format, lambda _: None)],
)


@pytest.fixture
def retrying(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that retries lost runs, as ours does."""
    retries = {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": False,
    }
    with dg.DagsterInstance.ephemeral(
        str(tmp_path), settings={"run_retries": retries}
    ) as made:
        yield made


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebHook]:
    """The channel of the alarms."""
    with web_hook() as served:
        monkeypatch.setenv("ALARM_URLS", served.url)
        yield served


def _run(
    instance: dg.DagsterInstance,
    job: str = "work",
    kind: str = "",
    tags: dict[str, str] | None = None,
    at: str | None = NIGHT,
) -> str:
    config = {"ops": {"night": {"config": {"kind": kind}}}} if job == "work" else {}
    result = definitions.resolve_job_def(job).execute_in_process(
        run_config=config,
        instance=instance,
        partition_key=at,
        raise_on_error=False,
        tags=tags,
    )
    return str(result.run_id)


def _lose(instance: dg.DagsterInstance, *, retries: str = "2") -> dg.DagsterRun:
    run = instance.create_run_for_job(
        definitions.resolve_job_def("work"),
        tags={"dagster/partition": NIGHT, "dagster/max_retries": retries},
    )
    instance.report_run_failed(run, LOST)
    return run


def _tick(instance: dg.DagsterInstance, cursor: str | None = None) -> str | None:
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        definitions=definitions,
        sensor_name="alarm",
    )
    return definitions.resolve_sensor_def("alarm").evaluate_tick(context).cursor


def _child_tags(run: dg.DagsterRun) -> dict[str, str]:
    return {"dagster/parent_run_id": run.run_id, "dagster/root_run_id": run.run_id}


def _plant_healthy_retries(instance: dg.DagsterInstance) -> None:
    for _ in range(10):
        _run(instance, kind="retry", at="2026-10-03")
    for _ in range(5):  # Dagster retries them
        _run(instance, at="2026-10-04", tags=_child_tags(_lose(instance)))
    for _ in range(5):  # Dagster gave them up, and the sensor asked again
        lost = _lose(instance)
        instance.add_run_tags(lost.run_id, {"dagster/will_retry": "false"})
        again = {"dagster/run_key": resubmission_key(lost)}
        _run(instance, at="2026-10-04", tags=again)


def test_ten_failures_of_six_kinds_among_twenty_healthy_retries_are_ten_messages(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    _plant_healthy_retries(retrying)
    for night_of in (NIGHT, "2026-10-11"):
        for kind in ("check", "error", "guard"):  # a success after a failure hides it
            _run(retrying, kind=kind, at=night_of)
    for _ in range(2):
        _lose(retrying, retries="0")
    _run(retrying, "other", tags={"dagster/max_retries": "0"})
    _run(retrying, "due", at=None)

    cursor = _tick(retrying)
    _tick(retrying, cursor)

    titles = sorted(title for title, _ in hook.messages)
    assert titles == [
        *["check sound of 2026-10-10 failed", "check sound of 2026-10-11 failed"],
        "check tonight_is_published failed",
        f"other of {NIGHT} failed",
        *[f"work of {NIGHT} failed"] * 4,
        *["work of 2026-10-11 failed"] * 2,
    ]


def test_a_message_has_step_error_line_run_and_page(
    retrying: dg.DagsterInstance, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_URL", "https://dagster.site.org/")
    run_id = _run(retrying, kind="error")

    _tick(retrying)

    ((title, body),) = hook.messages
    assert title == f"work of {NIGHT} failed"
    assert body.splitlines() == [
        "night: ValueError: no sky at all",
        f"run: https://dagster.site.org/runs/{run_id}",
        f"night: file:///pages/{NIGHT}.html",
    ]


def test_what_succeeded_later_is_not_told(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    _run(retrying, kind="error")
    _run(retrying)

    _tick(retrying)

    assert hook.messages == []


def test_another_nights_success_does_not_hide_a_failure(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    _run(retrying, kind="error")
    _run(retrying, at="2026-10-11")

    _tick(retrying)

    assert len(hook.messages) == 1


def test_a_lost_run_waits_for_the_attempt_that_is_to_follow(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    lost = _lose(retrying)
    retrying.add_run_tags(lost.run_id, {"dagster/will_retry": "false"})

    cursor = _tick(retrying)
    before = len(hook.messages)
    again = {"dagster/run_key": resubmission_key(lost)}
    _run(retrying, kind="error", tags=again)
    _tick(retrying, cursor)

    assert (before, len(hook.messages)) == (0, 1)


def test_a_channel_that_was_away_gets_the_message_once_it_is_back(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    _run(retrying, kind="error")
    hook.is_well = False

    cursor = _tick(retrying)
    hook.is_well = True
    cursor = _tick(retrying, cursor)
    _tick(retrying, cursor)

    assert len(hook.messages) == 1


def test_a_check_that_stays_failed_is_told_once_and_again_after_it_passed(
    retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    counts = []
    cursor = None

    for kind in ("check", "check", "", "check"):
        _run(retrying, kind=kind)
        cursor = _tick(retrying, cursor)
        counts.append(len(hook.messages))

    assert counts == [1, 1, 1, 2]


@pytest.mark.parametrize("cursor", ["", "{", "null", '{"other": 1}'])
def test_a_spoilt_cursor_looks_back_an_hour(
    cursor: str, retrying: dg.DagsterInstance, hook: WebHook
) -> None:
    _run(retrying, kind="error")

    _tick(retrying, cursor)

    assert len(hook.messages) == 1
