"""What the L1DB assets reach: the store, the sources folder, the archived visits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex, SourceSelect

if TYPE_CHECKING:
    from l1db_pipeline.store.base import L1Store

__all__ = ["L1dbResource", "ReportsResource", "SourcesResource"]


class L1dbResource(dg.ConfigurableResource["L1Store"]):
    """The L1 database: where it is, and which schema it uses."""

    url: str = Field(description="SQLAlchemy URL, with its driver.")
    dia_object_index: ObjectIndex = Field(
        default=ObjectIndex.LAST_OBJECT_TABLE,
        description="How DiaObject versions are keyed.",
    )
    dia_object_nightly: bool = Field(
        default=False,
        description="New versions go to DiaObjectNightly until the nightly merge.",
    )
    object_last_replace: bool = Field(
        default=True, description="Upsert DiaObjectLast instead of DELETE and INSERT."
    )
    read_sources_months: int = Field(
        default=12, ge=0, description="Months of DIASource history; 0 reads none."
    )
    read_forced_sources_months: int = Field(
        default=12, ge=0, description="Months of DIAForcedSource history."
    )
    source_select: SourceSelect = Field(
        default=SourceSelect.BY_FOV, description="How DIASource history is found."
    )
    history: History = Field(
        default=History.PACKED, description="History from rows or packed chunks."
    )

    def l1db_config(self) -> L1dbConfig:
        """Return the core's configuration.

        Raises
        ------
        ConfigError
            If the options contradict each other.
        """
        return L1dbConfig(
            url=self.url,
            dia_object_index=self.dia_object_index,
            dia_object_nightly=self.dia_object_nightly,
            object_last_replace=self.object_last_replace,
            read_sources_months=self.read_sources_months,
            read_forced_sources_months=self.read_forced_sources_months,
            source_select=self.source_select,
            history=self.history,
        )

    @contextmanager
    def open(self) -> "Iterator[L1Store]":
        """Open the store and close its connections at the end."""
        from l1db_pipeline.store.open import open_store

        store = open_store(self.l1db_config())
        try:
            yield store
        finally:
            store.close()


class SourcesResource(dg.ConfigurableResource[Path]):
    """Where the catalogs of variable sources are kept."""

    folder: str = Field(description="Folder of the .npy files.")

    @property
    def path(self) -> Path:
        """Folder of the .npy files."""
        return Path(self.folder)


class ReportsResource(dg.ConfigurableResource[Path]):
    """Where report pages go."""

    folder: str = Field(description="Folder of the pages.")

    @property
    def path(self) -> Path:
        """Folder of the pages."""
        return Path(self.folder)
