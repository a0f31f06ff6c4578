"""Errors of the archive: one base class, attributes for programs, text for people."""

from pipeline_runtime.errors import PipelineRuntimeError
from visit_tables.errors import VisitTablesError

__all__ = ["EXPECTED_ERRORS", "ArchiveError", "InvalidValueError"]


ArchiveError = VisitTablesError
"""Base of every error that this package, or a file that it reads, raises on purpose.

It is the one of `visit_tables`: whoever handles errors of the archive handles those of
the files of visits, too. Command-line programs print its text and exit with 1.
"""


class InvalidValueError(ArchiveError, ValueError, TypeError):
    """A value cannot be used: its type, range or characters are wrong."""


EXPECTED_ERRORS = (ArchiveError, PipelineRuntimeError)
"""What the archive raises on purpose, and what it runs on."""
