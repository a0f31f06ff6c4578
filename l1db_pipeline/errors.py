"""Errors of the L1 database: one base class; attributes for code, text for people."""

from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from pipeline_runtime.errors import PipelineRuntimeError
from visit_tables.errors import VisitTablesError

__all__ = [
    "EXPECTED_ERRORS",
    "ConfigError",
    "FileError",
    "L1dbError",
    "MissingColumnsError",
    "VisitConflictError",
]


class L1dbError(Exception):
    """Base of every error that this package raises on purpose.

    Command-line programs print its text after ``Error:`` and exit with 1.
    """


class ConfigError(L1dbError, ValueError):
    """A configuration file or value cannot be used."""


class FileError(L1dbError):
    """A file cannot be written, read or used."""

    kind: ClassVar[str] = "file"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, problem)  # kept as args so that it pickles
        self.path = path
        self.problem = problem

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.path}: {self.problem}"


class MissingColumnsError(L1dbError, ValueError):
    """A catalog lacks columns that its table requires."""

    def __init__(self, table: str, missing: Collection[str]) -> None:
        super().__init__(table, missing)  # kept as args so that it pickles
        self.table = table
        self.missing = missing

    @override
    def __str__(self) -> str:
        return f"{self.table} catalog lacks {', '.join(sorted(self.missing))}"


class VisitConflictError(L1dbError, ValueError):
    """Other content is already stored under this visit id (and tile)."""

    def __init__(self, visit_id: int, tile: str, stored: str, offered: str) -> None:
        super().__init__(visit_id, tile, stored, offered)
        self.visit_id = visit_id
        self.tile = tile
        self.stored = stored
        self.offered = offered

    @override
    def __str__(self) -> str:
        where = f"visit {self.visit_id}" + (f" tile {self.tile}" if self.tile else "")
        return (
            f"{where} is already stored with other content "
            f"(stored {self.stored}; offered {self.offered}); "
            "nothing was changed: use another visit id or another database"
        )


EXPECTED_ERRORS = (L1dbError, VisitTablesError, PipelineRuntimeError)
"""What the pipeline raises on purpose, and what its surroundings do."""
