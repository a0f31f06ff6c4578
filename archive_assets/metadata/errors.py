"""Errors of the metadata database: one class a mistake.

Each also derives from the class that the original raises for the same mistake, so
callers written for it (``except ValueError``, ``except IndexError``) still work.
"""

from collections.abc import Collection
from uuid import UUID

from typing_extensions import override

from archive_assets.errors import ArchiveError, InvalidValueError

__all__ = [
    "ArchivePermissionError",
    "DatabaseTimeoutError",
    "DatabaseUnavailableError",
    "DuplicateEntryError",
    "DuplicateFileError",
    "InvalidValueError",
    "MissingFileError",
    "NotTaggedError",
    "SchemaError",
    "SchemaExistsError",
    "SchemaMissingError",
    "SchemaNameError",
    "UnknownFieldError",
    "UnknownSequenceError",
    "UnknownTableError",
]


class UnknownSequenceError(ArchiveError, ValueError, IndexError):
    """No visit sequence has this UUID (or this date and daily id)."""

    def __init__(self, sequence: UUID | str, where: str = "the archive") -> None:
        super().__init__(sequence, where)
        self.sequence = sequence
        self.where = where

    @override
    def __str__(self) -> str:
        return f"Visit sequence not found: {self.sequence} is not in {self.where}"


class _UnknownNameError(ArchiveError, ValueError):
    _what = "name"

    def __init__(self, name: str, known: Collection[str]) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    @override
    def __str__(self) -> str:
        return f"unknown {self._what} {self.name!r}: use one of {', '.join(self.known)}"


class UnknownTableError(_UnknownNameError):
    """A table is not one of those that hold visit sequences."""

    _what = "table"


class UnknownFieldError(_UnknownNameError, LookupError):
    """A metadata field does not exist in the table of the sequence."""

    _what = "field"


class NotTaggedError(ArchiveError, ValueError):
    """A tag was to be removed that the sequence does not have."""

    def __init__(self, sequence: UUID, tag: str) -> None:
        super().__init__(sequence, tag)
        self.sequence = sequence
        self.tag = tag

    @override
    def __str__(self) -> str:
        return f"Visit sequence {self.sequence} is not tagged with {self.tag}"


class _FileError(ArchiveError, ValueError):
    def __init__(self, sequence: UUID, file_type: str) -> None:
        super().__init__(sequence, file_type)
        self.sequence = sequence
        self.file_type = file_type


class MissingFileError(_FileError):
    """No file of this type is registered for the sequence."""

    @override
    def __str__(self) -> str:
        return f"No URL for a file of type {self.file_type} of {self.sequence} found"


class DuplicateFileError(_FileError):
    """A file of this type is registered already, and an update was not asked for."""

    @override
    def __str__(self) -> str:
        return (
            f"A file of type {self.file_type} is already registered for "
            f"{self.sequence}; nothing was changed: ask for an update to replace it"
        )


class DuplicateEntryError(ArchiveError, ValueError):
    """The same key is stored already; nothing was changed."""


class DatabaseUnavailableError(ArchiveError, ConnectionError):
    """The database cannot be reached, or went away."""


class DatabaseTimeoutError(ArchiveError, TimeoutError):
    """A statement, or the wait for a connection, took longer than allowed."""


class ArchivePermissionError(ArchiveError, PermissionError):
    """The database user may not do this."""


class SchemaError(ArchiveError):
    """The schema of the metadata database cannot be used or changed."""


class SchemaMissingError(SchemaError, LookupError):
    """The schema, or a table or column that this version needs, is not there."""


class SchemaExistsError(SchemaError, ValueError):
    """The schema is there already."""

    def __init__(self, schema: str) -> None:
        super().__init__(schema)
        self.schema = schema

    @override
    def __str__(self) -> str:
        return (
            f"Schema already exists: {self.schema}; "
            "`vseqarchive schema upgrade` brings it up to date"
        )


class SchemaNameError(SchemaError, ValueError, AssertionError):
    """The schema's name is not allowed for this operation."""
