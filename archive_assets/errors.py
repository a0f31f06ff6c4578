"""Errors of the archive: one base class, attributes for programs, text for people."""

__all__ = ["ArchiveError", "InvalidValueError"]


class ArchiveError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """


class InvalidValueError(ArchiveError, ValueError, TypeError):
    """A value cannot be used: its type, range or characters are wrong."""
