"""A run with a value that cannot be is refused when its step starts, in its terms."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from archive_assets.definitions import build_definitions as archive_of
from archive_assets.defs.names import NOMINAL, simulation_key
from archive_assets.defs.resources import environment_resources as archive_resources
from l1db_pipeline.definitions import build_definitions as l1db_of
from l1db_pipeline.definitions import environment_resources as l1db_resources
from pipeline_runtime.services import environment

NIGHT = "2026-10-10"
SIMULATION = "__".join(simulation_key(NOMINAL).path)
# job, op, partition, field, value, what the step says
IMPOSSIBLE = [
    ("nominal_night", SIMULATION, NIGHT, "n_nights", -1, "greater than or equal to 0"),
    ("nominal_night", SIMULATION, NIGHT, "n_nights", 500, "less than or equal to 400"),
    ("gc", "collect", None, "trash_days", 0, "greater than or equal to 1"),
    ("verify", "archive__archive_verification", None, "sequences", ["x"], "UUID"),
    ("ap_prototype", "l1db_write_batches", "20261010-00001", "n_noise", -5, "to 0"),
    ("set_up", "l1db__variable_sources", None, "hemisphere", 2, "equal to 1"),
    ("timing_report", "l1db__timing_report", None, "most_seconds", 0, "greater than 0"),
    ("night_visits", "l1db__night_visits", NIGHT, "keep_nights", 0, "equal to 1"),
]


@pytest.fixture
def nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> Path:
    """A home folder that is not there, which every resource points into."""
    home = tmp_path / "home"
    for name, value in environment({"L1DB_HOME": str(home)}).items():
        monkeypatch.setenv(name, value)
    instance.add_dynamic_partitions("visits", ["20261010-00001"])
    return home


def _job(name: str) -> dg.JobDefinition:
    try:
        return archive_of(archive_resources()).resolve_job_def(name)
    except dg.DagsterInvariantViolationError:
        return l1db_of(l1db_resources()).resolve_job_def(name)


def _config(op: str, field: str, value: object) -> dict[str, Any]:
    return {"ops": {op: {"config": {field: value}}}}


@pytest.mark.parametrize(
    ("job", "op", "partition", "field", "value", "message"),
    IMPOSSIBLE,
    ids=[f"{job}-{field}-{value}" for job, _, _, field, value, _ in IMPOSSIBLE],
)
def test_a_step_with_an_impossible_value_fails_once_before_it_writes(
    nowhere: Path,
    instance: dg.DagsterInstance,
    job: str,
    op: str,
    partition: str | None,
    field: str,
    value: object,
    message: str,
) -> None:
    done = _job(job).execute_in_process(
        run_config=_config(op, field, value),
        partition_key=partition,
        op_selection=[op] if job != "gc" else None,
        instance=instance,
        raise_on_error=False,
    )

    (failure,) = done.filter_events(lambda event: event.is_step_failure)
    assert failure.step_key == op
    said = str(failure.step_failure_data.error)
    assert field in said
    assert message in said
    assert repr(value) in said
    assert not done.filter_events(lambda event: event.is_step_up_for_retry)
    assert not nowhere.exists()


@pytest.mark.parametrize(
    ("job", "op", "partition", "field", "value"),
    [
        ("nominal_night", SIMULATION, NIGHT, "seed", "a"),
        ("timing_report", "l1db__timing_report", None, "most_secs", 1),
        ("gc", "collect", None, "trash_days", "many"),
    ],
)
def test_wrong_types_and_unknown_fields_are_refused_before_there_is_a_run(
    nowhere: Path,
    instance: dg.DagsterInstance,
    job: str,
    op: str,
    partition: str | None,
    field: str,
    value: object,
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match=field):
        _job(job).execute_in_process(
            run_config=_config(op, field, value),
            partition_key=partition,
            instance=instance,
        )

    assert not instance.get_runs_count()
    assert not nowhere.exists()
