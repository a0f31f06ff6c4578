"""Errors of visits tables: one base class."""

__all__ = ["VisitTablesError"]


class VisitTablesError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """
