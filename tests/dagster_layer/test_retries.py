"""What the retry policy of a step retries, and what ends its run at once."""

import signal
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from archive_assets import definitions as archive
from l1db_pipeline import definitions as l1db
from pipeline_runtime.dagster.retries import Retries


def _fail(error: Exception) -> None:
    raise error


def _job(first_try: Callable[[], None], tries: list[int]) -> dg.JobDefinition:
    @dg.op(retry_policy=Retries(max_retries=2, delay=0))
    def step() -> None:
        tries.append(1)
        if len(tries) == 1:
            first_try()

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        step()

    return job


@pytest.mark.parametrize(
    ("error", "is_well", "n_tries"),
    [(OSError("no route to host"), True, 2), (ValueError("no such night"), False, 1)],
    ids=["unreachable", "wrong input"],
)
def test_a_step_is_tried_again_if_that_may_help(
    error: Exception, is_well: bool, n_tries: int, instance: dg.DagsterInstance
) -> None:
    tries: list[int] = []
    job = _job(lambda: _fail(error), tries)

    done = job.execute_in_process(instance=instance, raise_on_error=False)

    assert (done.success, len(tries)) == (is_well, n_tries)


@pytest.mark.parametrize("fails_on_its_way_out", [False, True])
def test_a_cancelled_step_is_not_tried_again(
    fails_on_its_way_out: bool, instance: dg.DagsterInstance
) -> None:
    tries: list[int] = []

    def cancel() -> None:
        (run,) = instance.get_runs()
        instance.report_run_canceling(run)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            if fails_on_its_way_out:
                raise OSError("cannot exit pipeline mode while busy")

    job = _job(cancel, tries)

    with pytest.raises(DagsterExecutionInterruptedError):
        job.execute_in_process(instance=instance)

    (run,) = instance.get_runs()
    assert (run.status, len(tries)) == (dg.DagsterRunStatus.CANCELED, 1)


@pytest.mark.parametrize(
    "location", [archive.defs(), l1db.defs()], ids=["archive", "l1db"]
)
def test_no_step_has_another_policy(location: dg.Definitions) -> None:
    nodes = location.get_repository_def().get_implicit_global_asset_job_def()
    # a node's definition is of a base class that has no policy
    definitions: list[Any] = [node.definition for node in nodes.graph.nodes]
    policies = [definition.retry_policy for definition in definitions]

    assert any(policies)
    assert all(isinstance(found, Retries) for found in policies if found)
