"""What the archive's assets reach: metadata, object store, index, work folder."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import dagster as dg
from pydantic import Field

from archive_assets.simulation import ParentVisits, Telescope

if TYPE_CHECKING:
    from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
    from archive_assets.objects.datastore import DataStore
    from archive_assets.reading.newest_visits import ArchivedVisits

from pipeline_runtime.environment import forget_empty, text_of

__all__ = [
    "ArchiveMetadataResource",
    "DataStoreResource",
    "PrenightIndexResource",
    "SimulationsResource",
    "environment_resources",
]


class ArchiveMetadataResource(dg.ConfigurableResource["VisitSequenceArchiveMetadata"]):
    """The PostgreSQL schema that holds the archive's metadata.

    No password: libpq finds it in ``~/.pgpass`` or ``PGPASSFILE``.
    """

    host: str = Field(description="Server name, or the folder of its socket.")
    port: str = Field(default="5432", description="Server port.")
    database: str = Field(description="Database name.")
    user: str = Field(description="Role that reads and writes.")
    schema_name: str = Field(default="vsmd", description="PostgreSQL schema.")
    create_schema: bool = Field(
        default=True,
        description="Create the schema if the database has none; never upgrade it.",
    )

    @contextmanager
    def open(self) -> "Iterator[VisitSequenceArchiveMetadata]":
        """Open the archive's metadata and close its connections at the end."""
        from archive_assets.metadata.archive_metadata import (
            VisitSequenceArchiveMetadata,
        )

        archive = VisitSequenceArchiveMetadata(
            {
                "host": self.host,
                "port": self.port,
                "database": self.database,
                "user": self.user,
            },
            self.schema_name,
        )
        with archive:
            if self.create_schema:
                from archive_assets.metadata.schema import create_if_missing

                create_if_missing(archive.database)
            yield archive

    @contextmanager
    def newest_visits(
        self,
        data_store: "DataStoreResource",
        day_obs: date,
        *,
        tags: Sequence[str],
        telescope: str,
        preferred: UUID | None = None,
    ) -> "Iterator[ArchivedVisits]":
        """Give the visits file of a night's preferred sequence, else of the newest."""
        from archive_assets.reading.newest_visits import newest_visits_file

        with (
            self.open() as archive,
            newest_visits_file(
                archive,
                data_store.open(),
                day_obs,
                tags=tags,
                telescope=telescope,
                preferred=preferred,
            ) as found,
        ):
            yield found

    @contextmanager
    def visits_of(
        self, data_store: "DataStoreResource", visitseq_uuid: UUID
    ) -> "Iterator[ArchivedVisits]":
        """Give the visits file of a sequence."""
        from archive_assets.reading.newest_visits import visits_file_of

        with (
            self.open() as archive,
            visits_file_of(archive, data_store.open(), visitseq_uuid) as found,
        ):
            yield found


class DataStoreResource(dg.ConfigurableResource["DataStore"]):
    """The object store of visits and other files, any scheme of lsst.resources."""

    url: str = Field(description="Base URL, such as s3://bucket/vseq/ or file:///...")

    def open(self) -> "DataStore":
        """Return the store."""
        from archive_assets.objects.datastore import DataStore

        return DataStore(self.url)


class PrenightIndexResource(dg.ConfigurableResource[str]):
    """Where the nightly JSON indexes are published."""

    url: str = Field(description="Base URL of the index.")


class SimulationsResource(dg.ConfigurableResource[Path]):
    """Folders of the visit simulations on this machine."""

    work_folder: str = Field(description="Finished simulations, one folder a night.")
    site_data_folder: str = Field(description="$RUBIN_SIM_DATA_DIR.")
    synthesize: bool = Field(
        default=True,
        description="Make synthetic site data for a night that no file covers.",
    )

    command: str = Field(
        default="",
        description=(
            "Program of the site's own that simulates instead of rubin_scheduler, "
            "such as `run_sim {day_obs} {n_nights} {opsim}`; no shell."
        ),
    )

    completed_visits: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "By telescope: opsim file or visits.h5 of the visits made so far, from "
            "which simulations start; a telescope without one starts empty."
        ),
    )

    def completed(self, telescope: Telescope) -> Path | None:
        """Return the file of a telescope's completed visits, `None` without one."""
        path = self.completed_visits.get(telescope.value)
        return Path(path) if path else None

    def starting_point(self, telescope: Telescope, night: date) -> ParentVisits | None:
        """Return the completed visits that were kept for a night, if there are any.

        Raises
        ------
        dagster.Failure
            Without a retry, if the telescope has a file, but its visits were not kept
            for the night.
        """
        from archive_assets.archiving.completed_visits import (
            NoCompletedVisitsError,
            starting_point,
        )

        source = self.completed(telescope)
        try:
            return starting_point(self.work, telescope.value, night, source)
        except NoCompletedVisitsError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    @property
    def command_words(self) -> tuple[str, ...]:
        """Program and arguments."""
        return tuple(shlex.split(self.command))

    @property
    def work(self) -> Path:
        """Folder of the finished simulations."""
        return Path(self.work_folder)

    @property
    def site_data(self) -> Path:
        """Folder of the scheduler's site data."""
        return Path(self.site_data_folder)


def environment_resources() -> dict[str, object]:
    """Return the resources as the environment describes them."""
    forget_empty(os.environ)  # Dagster reads those of EnvVar by itself
    return {
        "archive_metadata": ArchiveMetadataResource(
            host=dg.EnvVar("VSARCHIVE_PGHOST"),
            port=dg.EnvVar("VSARCHIVE_PGPORT"),
            database=dg.EnvVar("VSARCHIVE_PGDATABASE"),
            user=dg.EnvVar("VSARCHIVE_PGUSER"),
            schema_name=dg.EnvVar("VSARCHIVE_PGSCHEMA"),
        ),
        "data_store": DataStoreResource(url=dg.EnvVar("ARCHIVE_URL")),
        "prenight_index_store": PrenightIndexResource(
            url=dg.EnvVar("PRENIGHT_INDEX_URL")
        ),
        "simulations": SimulationsResource(
            work_folder=dg.EnvVar("SIMULATIONS_DIR"),
            site_data_folder=dg.EnvVar("RUBIN_SIM_DATA_DIR"),
            command=text_of("SIMULATION_COMMAND"),
            completed_visits={
                telescope.value: path
                for telescope in Telescope
                if (path := text_of(f"COMPLETED_VISITS_{telescope.name}"))
            },
        ),
    }
