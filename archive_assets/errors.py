"""Errors of the archive: one base class, attributes for programs, text for people."""

__all__ = ["ArchiveError"]


class ArchiveError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """
