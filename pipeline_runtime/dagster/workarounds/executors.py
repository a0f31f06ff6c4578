"""Executors that say where they execute, and that end while they wait.

Dagster's in-process executor looks for an interrupt only while a step runs: a run that
waits for a pool, or for its next try, did not end on SIGTERM. And it waits for a pool
at 100 % of a processor, since ``interval_to_next_pending_claim_check`` is never above
zero (dagster 1.13: ``min([0, ...])``): Dagster pull request 20367, closed unmerged. No
issue is open for the interrupt. ``test_pools.py`` tells when this can go:
``test_dagster_still_waits_without_sleeping`` fails once Dagster sleeps, and the runs
that end while they wait pass with ``dg.in_process_executor``.
"""

import os
from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.executor_definition import (
    IN_PROC_CONFIG,
    MULTI_PROC_CONFIG,
    _core_in_process_executor_creation,
    _core_multiprocess_executor_creation,
)
from dagster._core.definitions.executor_definition import (
    multiple_process_executor_requirements as needs_processes,
)
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.context.system import (
    PlanExecutionContext,
    PlanOrchestrationContext,
)
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.execution.plan.instance_concurrency_context import (
    InstanceConcurrencyContext,
)
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._utils.interrupts import pop_captured_interrupt
from typing_extensions import override

from pipeline_runtime.dagster.run_tags import OWN_PROCESS
from pipeline_runtime.dagster.workarounds.run_process import EXECUTES, place_metadata

__all__ = ["in_process", "multiprocess"]

_LOOK_S = 0.5  # how long a waiting run does not notice that it should end


class _Claims(InstanceConcurrencyContext):
    """Claims on pools; a run that waits, for one or for a next try, may be ended."""

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        super().__init__(instance, run)
        self._retrying: set[str | None] = set()

    def see(self, event: dg.DagsterEvent) -> None:
        """Take note of steps that wait for their next try."""
        if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
            self._retrying.add(event.step_key)
        elif event.event_type is dg.DagsterEventType.STEP_RESTARTED:
            self._retrying.discard(event.step_key)

    @override
    def has_pending_claims(self) -> bool:
        """Let the executor ask how long to sleep, between two tries, too."""
        return super().has_pending_claims() or bool(self._retrying)

    @override
    def interval_to_next_pending_claim_check(self) -> float:
        if pop_captured_interrupt():
            raise DagsterExecutionInterruptedError
        return _LOOK_S


def _steps(
    job_context: PlanExecutionContext, execution_plan: ExecutionPlan
) -> Iterator[dg.DagsterEvent]:
    with _Claims(job_context.instance, job_context.dagster_run) as claims:
        for event in inner_plan_execution_iterator(job_context, execution_plan, claims):
            claims.see(event)
            yield event


def _says_where(context: PlanOrchestrationContext) -> dg.DagsterEvent:
    return dg.DagsterEvent.engine_event(
        context,
        f"{EXECUTES} (pid: {os.getpid()})",
        EngineEventData(metadata=place_metadata()),
    )


class _InProcess(InProcessExecutor):
    """All steps in the process of the run, one after the other."""

    @override
    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        yield _says_where(plan_context)
        yield from ExecuteRunWithPlanIterable(
            execution_plan=plan_context.execution_plan,
            iterator=_steps,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=plan_context.execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )


class _Multiprocess(Executor):
    """Dagster's own for runs with long steps; others need no further process.

    A process of its own loads the definitions: it costs seconds of a step of a moment.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @property
    @override
    def retries(self) -> RetryMode:
        return self._executor.retries

    @property
    @override
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._executor.step_dependency_config

    @override
    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        steps = map(execution_plan.get_step_by_key, execution_plan.step_keys_to_execute)
        if not any((step.tags or {}).items() >= OWN_PROCESS.items() for step in steps):
            here = _InProcess(self.retries, self.step_dependency_config)
            yield from here.execute(plan_context, execution_plan)
            return
        yield _says_where(plan_context)
        yield from self._executor.execute(plan_context, execution_plan)


@dg.executor(name="in_process", config_schema=IN_PROC_CONFIG)
def in_process(context: dg.InitExecutorContext) -> Executor:
    """Run all steps in the process of the run."""
    made = _core_in_process_executor_creation(context.executor_config)
    return _InProcess(made.retries, made.step_dependency_config)


@dg.executor(
    name="multiprocess",
    config_schema=MULTI_PROC_CONFIG,
    requirements=needs_processes(),
)
def multiprocess(context: dg.InitExecutorContext) -> Executor:
    """Run each step in a process of its own, if any of them is long."""
    return _Multiprocess(_core_multiprocess_executor_creation(context.executor_config))
