"""Which executor runs the steps of a run: chosen by configuration, not by code."""

import os
from collections.abc import Mapping

import dagster as dg

from pipeline_runtime.dagster.workarounds.executors import in_process, multiprocess
from pipeline_runtime.environment import text_of
from pipeline_runtime.extras import how_to_install

__all__ = ["ONE_PROCESS", "ExecutorError", "executor"]

ONE_PROCESS = in_process
"""For jobs whose steps are short: a process of its own takes seconds to start."""


class ExecutorError(ValueError):
    """``$DAGSTER_EXECUTOR`` names an executor that is not installed."""


def executor(environ: Mapping[str, str] = os.environ) -> dg.ExecutorDefinition:
    """Return the executor that ``$DAGSTER_EXECUTOR`` names, default multiprocess.

    Raises
    ------
    ExecutorError
        If its package is not installed.
    EnvironmentValueError
        If there is no such executor.
    """
    match text_of("DAGSTER_EXECUTOR", environ):
        case "in_process":
            return in_process
        case "dask":
            return _dask_executor()
        case _:  # multiprocess: its declaration has no others
            return multiprocess.configured({"max_concurrent": 2})


def _dask_executor() -> dg.ExecutorDefinition:
    try:
        from dagster_dask import dask_executor
    except ImportError as error:
        raise ExecutorError(
            f"DAGSTER_EXECUTOR=dask needs dagster-dask: {how_to_install('dask')}, "
            "or unset the variable"
        ) from error
    found: dg.ExecutorDefinition = dask_executor
    return found
