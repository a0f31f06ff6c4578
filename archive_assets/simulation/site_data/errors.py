"""What can be wrong with a folder of site data."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from archive_assets.errors import ArchiveError

__all__ = ["SiteDataError", "SiteDataNotSyntheticError"]


class SiteDataError(ArchiveError):
    """Site data are missing, damaged, or do not cover the nights asked for."""

    def __init__(self, folder: Path, problems: Sequence[str], remedy: str) -> None:
        super().__init__(folder, problems, remedy)  # kept as args so that it pickles
        self.folder = folder
        self.problems = tuple(problems)
        self.remedy = remedy

    @override
    def __str__(self) -> str:
        return f"site data in {self.folder}: {'; '.join(self.problems)}. {self.remedy}"


class SiteDataNotSyntheticError(ArchiveError):
    """A folder with other people's site data was to be written to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    @override
    def __str__(self) -> str:
        return (
            f"{self.folder} holds site data that were not synthesized by this program: "
            "nothing was written, choose another folder"
        )
