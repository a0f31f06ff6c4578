"""Retries of a step: of what may be well another time, and of nothing else."""

import sys

import dagster as dg
from typing_extensions import override

from pipeline_runtime.errors import interrupt_behind

__all__ = ["Retries", "patiently"]


class Retries(dg.RetryPolicy):
    """A retry policy that lets cancelled steps end and wrong input fail at once.

    Dagster 1.13 retries a step that was cancelled, too: the run in the process of its
    steps would continue, and succeed, after its cancellation or deadline.
    """

    @override
    def calculate_delay(self, attempt_num: int) -> float:
        """Return the seconds to wait; called while the step's error is handled."""
        error = sys.exc_info()[1]
        if (interrupt := interrupt_behind(error)) is not None:
            raise interrupt  # of a cancelled run, whatever failed on its way out
        if isinstance(error, ValueError):
            raise dg.Failure(description=str(error), allow_retries=False) from error
        return float(super().calculate_delay(attempt_num))


def patiently(max_retries: int, delay_s: float = 10.0) -> Retries:
    """Return a policy that waits longer each time."""
    return Retries(max_retries, delay_s, dg.Backoff.EXPONENTIAL, dg.Jitter.PLUS_MINUS)
