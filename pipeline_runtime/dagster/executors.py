"""Which executor runs the steps of a run: chosen by configuration, not by code."""

import os
from collections.abc import Mapping

import dagster as dg

from pipeline_runtime.dagster.workarounds.executors import in_process, multiprocess

__all__ = ["EXECUTORS", "ONE_PROCESS", "ExecutorError", "executor"]

EXECUTORS = ("multiprocess", "in_process", "dask")
ONE_PROCESS = in_process
"""For jobs whose steps are short: a process of its own takes seconds to start."""


class ExecutorError(ValueError):
    """``$DAGSTER_EXECUTOR`` names no executor that can be used."""


def executor(environ: Mapping[str, str] = os.environ) -> dg.ExecutorDefinition:
    """Return the executor that ``$DAGSTER_EXECUTOR`` names, default multiprocess.

    Raises
    ------
    ExecutorError
        If there is no such executor, or its package is not installed.
    """
    name = environ.get("DAGSTER_EXECUTOR", "multiprocess")
    match name:
        case "multiprocess":
            return multiprocess.configured({"max_concurrent": 2})
        case "in_process":
            return in_process
        case "dask":
            return _dask_executor()
        case _:
            raise ExecutorError(
                f"DAGSTER_EXECUTOR={name!r}: choose from {', '.join(EXECUTORS)}"
            )


def _dask_executor() -> dg.ExecutorDefinition:
    try:
        from dagster_dask import dask_executor
    except ImportError as error:
        raise ExecutorError(
            "DAGSTER_EXECUTOR=dask needs dagster-dask: "
            "pip install 'l1db-pipeline[dask]', or unset the variable"
        ) from error
    found: dg.ExecutorDefinition = dask_executor
    return found
