"""Errors of what both systems run on: one base class."""

__all__ = ["EnvironmentValueError", "PipelineRuntimeError"]


class PipelineRuntimeError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """


class EnvironmentValueError(PipelineRuntimeError, ValueError):
    """A variable of the environment has a value that cannot be used."""
