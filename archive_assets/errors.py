"""Errors of the archive: one base class, attributes for programs, text for people."""

from pipeline_runtime.errors import PipelineRuntimeError
from visit_tables.errors import VisitTablesError

__all__ = ["EXPECTED_ERRORS", "ArchiveError", "InvalidValueError"]


class ArchiveError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """


class InvalidValueError(ArchiveError, ValueError, TypeError):
    """A value cannot be used: its type, range or characters are wrong."""


EXPECTED_ERRORS = (ArchiveError, VisitTablesError, PipelineRuntimeError)
"""What the archive raises on purpose, and what the files that it reads do."""
