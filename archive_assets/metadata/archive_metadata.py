"""The metadata database of visit sequences, under the original's names.

`VisitSequenceArchiveMetadata` is a face: each method checks its arguments, opens one
transaction and calls one function of `archive_assets.metadata`.
"""

import warnings
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pandas as pd
from lsst.resources import ResourcePath
from psycopg import sql

from archive_assets.metadata import (
    annotations,
    environments,
    files,
    nightly_statistics,
    nights,
    search,
    sequences,
    trash,
)
from archive_assets.metadata.details import Day
from archive_assets.metadata.environments import compute_conda_env
from archive_assets.metadata.errors import (
    InvalidValueError,
    UnknownSequenceError,
    UnknownTableError,
)
from archive_assets.metadata.frames import series
from archive_assets.metadata.interchange import (
    metadata_yaml_from_prototype,
    simulation_yaml,
)
from archive_assets.metadata.raw import compose
from archive_assets.metadata.recording import SequenceRecorder
from archive_assets.metadata.search import SearchCriteria
from archive_assets.metadata.sequences import READABLE
from archive_assets.metadata.settings import (
    VSARCHIVE_PGDATABASE,
    VSARCHIVE_PGHOST,
    VSARCHIVE_PGPORT,
    VSARCHIVE_PGSCHEMA,
    VSARCHIVE_PGUSER,
)
from archive_assets.metadata.values import (
    JSON_DUMP_LIMIT,
    checked_hash,
    checked_name,
    checked_nights,
    checked_tags,
    checked_text,
    checked_uuid,
    optional_day,
    today_day_obs,
)
from visit_tables.content_hash import visits_sha256
from visit_tables.day_obs import DayObs

__all__ = [
    "JSON_DUMP_LIMIT",
    "VSARCHIVE_PGDATABASE",
    "VSARCHIVE_PGHOST",
    "VSARCHIVE_PGPORT",
    "VSARCHIVE_PGSCHEMA",
    "VSARCHIVE_PGUSER",
    "VisitSequenceArchiveMetadata",
    "compute_visits_sha256",
    "metadata_yaml_from_prototype",
]


def compute_visits_sha256(visits: pd.DataFrame) -> bytes:
    """Return the canonical content hash of visits: same visits, same 32 bytes."""
    return visits_sha256(visits)


class VisitSequenceArchiveMetadata(SequenceRecorder):
    """The metadata database of visit sequences; safe to share between threads.

    Nothing is connected before the first call. Use it in a ``with`` statement, or
    `close` it; else its connections go when it does.

    Parameters
    ----------
    metadata_db_kwargs
        Arguments of `psycopg.connect` (``database`` or ``dbname``, ``host``,
        ``user``, ``port``...); what is missing or None comes from
        ``VSARCHIVE_PGDATABASE|PGHOST|PGUSER|PGPORT``, then from the constants of
        this module.
    metadata_db_schema
        Schema; else ``VSARCHIVE_PGSCHEMA``, else ``vsmd``.

    Notes
    -----
    A mistake raises one of `archive_assets.metadata.errors`, which the classes that
    the original raised for it catch as well. An unknown UUID is refused everywhere.
    """

    def get_visitseq_metadata(
        self, visitseq_uuid: UUID, table: str = "visitseq"
    ) -> "pd.Series[Any]":
        """Return the row of a sequence in a table or in ``simulations_extra``.

        Raises
        ------
        UnknownTableError
            If it is no table of sequences.
        UnknownSequenceError
            If the sequence is not in it.
        """
        if table not in READABLE:
            raise UnknownTableError(table, READABLE)
        statement = compose(
            "SELECT * FROM {} WHERE visitseq_uuid = %s", [sql.Identifier(table)]
        )
        with self.transaction() as connection:
            found = series(
                connection.exec_driver_sql(statement, (checked_uuid(visitseq_uuid),))
            )
        if found is None:
            raise UnknownSequenceError(visitseq_uuid, table)
        return found

    def get_visitseq_url(self, visitseq_uuid: UUID) -> str | None:
        """Return where the visits are; None if they are not archived."""
        with self.transaction() as connection:
            return sequences.get_url(connection, checked_uuid(visitseq_uuid))

    def is_tagged(self, visitseq_uuid: UUID, tag: str) -> bool:
        """Tell whether a sequence has a tag."""
        with self.transaction() as connection:
            return annotations.is_tagged(connection, checked_uuid(visitseq_uuid), tag)

    def tag(self, visitseq_uuid: UUID, *tags: str) -> None:
        """Tag a sequence; a tag that it has already stays once."""
        wanted = checked_tags(tags)
        with self.transaction() as connection:
            annotations.add_tags(connection, checked_uuid(visitseq_uuid), wanted)

    def untag(self, visitseq_uuid: UUID, tag: str) -> None:
        """Take a tag away; NotTaggedError if the sequence does not have it."""
        with self.transaction() as connection:
            annotations.remove_tag(connection, checked_uuid(visitseq_uuid), tag)

    def comment(
        self, visitseq_uuid: UUID, comment: str, author: str | None = None
    ) -> None:
        """Attach a comment, now."""
        words = checked_text(comment, "the comment")
        if author is not None:
            author = checked_text(author, "the author")
        with self.transaction() as connection:
            annotations.add_comment(
                connection, checked_uuid(visitseq_uuid), words, author
            )

    def get_comments(self, visitseq_uuid: UUID) -> pd.DataFrame:
        """Return the comments, oldest first; columns as in the table."""
        uuid = checked_uuid(visitseq_uuid)
        with self.transaction() as connection:
            sequences.check_sequences(connection, uuid)
        comments = self.pd_read_sql(
            "SELECT visitseq_uuid, comment_time, author, comment FROM comments "
            "WHERE visitseq_uuid = %s ORDER BY comment_time, comment",
            query_params=(uuid,),
        )
        return comments.astype({"comment": "string"})

    def register_file(
        self,
        visitseq_uuid: UUID,
        file_type: str,
        file_sha256: bytes,
        location: str | ResourcePath,
        update: bool = False,
    ) -> None:
        """Register a file of a sequence; ``update`` replaces one of the same type."""
        if not isinstance(location, str | ResourcePath):
            raise InvalidValueError(f"{location!r} is no location")
        url = location if isinstance(location, str) else location.geturl()
        file = files.RegisteredFile(
            checked_text(url, "the location"),
            checked_hash(file_sha256, "file_sha256"),
            None,
        )
        file_type = checked_name(file_type, "file type")
        with self.transaction() as connection:
            files.insert_file(
                connection, checked_uuid(visitseq_uuid), file_type, file, update=update
            )

    def get_file_url(self, visitseq_uuid: UUID, file_type: str) -> str | None:
        """Return where a file is; MissingFileError if none of the type is known."""
        if file_type == "visits":
            return self.get_visitseq_url(visitseq_uuid)
        uuid = checked_uuid(visitseq_uuid)
        with self.transaction() as connection:
            return files.registered_file(connection, uuid, file_type).url

    def get_file_sha256(self, visitseq_uuid: UUID, file_type: str) -> bytes:
        """Return the SHA-256 of a registered file, 32 bytes."""
        uuid = checked_uuid(visitseq_uuid)
        with self.transaction() as connection:
            return files.registered_file(connection, uuid, file_type).sha256

    def insert_nightly_stats(
        self, visitseq_uuid: UUID, nightly_stats: pd.DataFrame
    ) -> None:
        """Store nightly statistics, all or none; duplicates are refused."""
        with self.transaction() as connection:
            nightly_statistics.insert_statistics(
                connection, checked_uuid(visitseq_uuid), nightly_stats
            )

    def query_nightly_stats(self, visitseq_uuid: UUID) -> pd.DataFrame:
        """Return the nightly statistics in the order of the table's columns."""
        with self.transaction() as connection:
            return nightly_statistics.read_statistics(
                connection, checked_uuid(visitseq_uuid)
            )

    def conda_env_is_saved(self, conda_env_hash: bytes) -> bool:
        """Tell whether an environment is stored."""
        env_hash = checked_hash(conda_env_hash, "conda_env_hash")
        with self.transaction() as connection:
            return environments.is_environment_saved(connection, env_hash)

    def record_conda_env(
        self, conda_env_hash: bytes | None = None, conda_env_json: str | None = None
    ) -> bytes:
        """Store an environment, the current one by default, and return its hash."""
        if (conda_env_hash is None) != (conda_env_json is None):
            raise InvalidValueError("give the hash and the JSON, or neither")
        if conda_env_hash is None or conda_env_json is None:
            conda_env_hash, conda_env_json = compute_conda_env()
        env_hash = checked_hash(conda_env_hash, "conda_env_hash")
        with self.transaction() as connection:
            added = environments.insert_environment(
                connection, env_hash, conda_env_json
            )
        if not added:
            warnings.warn("conda environment already saved", UserWarning, stacklevel=2)
        return env_hash

    def sims_on_nights(
        self,
        first_day_obs: Day = None,
        last_day_obs: Day = None,
        tags: Sequence[str] = ("prenight", "ideal", "nominal"),
        telescope: str = "simonyi",
        max_simulation_age: int = 2,
    ) -> pd.DataFrame:
        """Return the simulations that cover two nights (today, and the first again).

        All tags must be present; none asks for none. Columns of
        ``simulations_extra``, oldest first.
        """
        first, last = checked_nights(first_day_obs, last_day_obs)
        first = first or today_day_obs()
        with self.transaction() as connection:
            return nights.simulations_on_nights(
                connection,
                first,
                last or first,
                tags=checked_tags(tags),
                telescope=telescope,
                max_age_days=max_simulation_age,
            )

    def sims_on_night_with_stats(
        self,
        day_obs: Day = None,
        tags: Sequence[str] = ("prenight", "ideal", "nominal"),
        telescope: str = "simonyi",
        max_simulation_age: int = 2,
        accumulated: bool = False,
    ) -> pd.DataFrame:
        """Return `sims_on_nights` of one night with a column ``stats``.

        It holds ``{value_name: {...}}`` of that night alone, or of all nights through
        it if ``accumulated``; None where there are no statistics.
        """
        night = optional_day(day_obs, "day_obs") or today_day_obs()
        with self.transaction() as connection:
            return nights.simulations_on_nights(
                connection,
                night,
                night,
                tags=checked_tags(tags),
                telescope=telescope,
                max_age_days=max_simulation_age,
                with_stats=True,
                accumulated=accumulated,
            )

    def get_sim_uuid(self, sim_date: DayObs, daily_id: int | str) -> UUID:
        """Return the simulation with a number within its UTC-12 creation day."""
        day = optional_day(sim_date, "sim_date")
        if day is None or not str(daily_id).isdigit():
            raise InvalidValueError(f"{sim_date}/{daily_id} names no simulation")
        with self.transaction() as connection:
            return nights.simulation_on_day(connection, day, int(daily_id))

    def get_software_versions_for_sim(
        self, visitseq_uuid: UUID, packages: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return the packages a simulation ran with, indexed by name."""
        uuid = checked_uuid(visitseq_uuid)
        with self.transaction() as connection:
            sequences.check_sequences(connection, uuid)
        versions = self.pd_read_sql(
            "SELECT * FROM simulation_packages WHERE visitseq_uuid = %s "
            "ORDER BY package_name",
            query_params=(uuid,),
        ).set_index("package_name")
        if packages is None:
            return versions
        return versions.loc[[name for name in packages if name in versions.index], :]

    def search(self, criteria: SearchCriteria) -> pd.DataFrame:
        """Return the sequences of any kind that match, newest first."""
        with self.transaction() as connection:
            return search.search_sequences(connection, criteria)

    def describe(self, visitseq_uuid: UUID) -> dict[str, object]:
        """Return everything about one sequence as values that JSON can hold."""
        with self.transaction() as connection:
            return search.describe_sequence(connection, checked_uuid(visitseq_uuid))

    def nightly(
        self,
        first_day_obs: Day,
        last_day_obs: Day,
        *,
        tags: Sequence[str] = (),
        telescope: str | None = None,
        values: Sequence[str] = (),
        accumulated: bool = False,
    ) -> pd.DataFrame:
        """Return the statistics of a range of nights, all simulations in one query."""
        first, last = checked_nights(first_day_obs, last_day_obs)
        if first is None or last is None:
            raise InvalidValueError("a range of nights needs a first and a last one")
        with self.transaction() as connection:
            return nightly_statistics.nightly_range(
                connection,
                first,
                last,
                tags=checked_tags(tags),
                telescope=telescope,
                values=values,
                accumulated=accumulated,
            )

    def trash(self, visitseq_uuid: UUID) -> None:
        """Hide a sequence from every search; `restore` brings it back."""
        with self.transaction() as connection:
            trash.trash(connection, checked_uuid(visitseq_uuid))

    def restore(self, visitseq_uuid: UUID) -> None:
        """Take a sequence out of the trash."""
        with self.transaction() as connection:
            trash.restore(connection, checked_uuid(visitseq_uuid))

    def sim_metadata_yaml(self, visitseq_uuid: UUID) -> str:
        """Return a simulation's metadata as the prototype archive's YAML."""
        return simulation_yaml(
            self.get_visitseq_metadata(visitseq_uuid, "simulations_extra")
        )

    def import_sim_from_yaml(
        self, metadata_yaml: str, archive_base: str | None = None
    ) -> UUID:
        """Record a simulation that a prototype's YAML describes, with its files.

        The visits are archived too if there is an ``archive_base``.
        """
        from archive_assets.prototype_archive.importing import import_from_yaml  # noqa: PLC0415 - it imports this module

        return import_from_yaml(self, metadata_yaml, archive_base)

    def import_sim_from_prototype_sim_archive(
        self,
        archive_base: str,
        sim_date: str | date,
        sim_index: str | int,
        proto_sim_archive_uri: str,
    ) -> UUID:
        """Import a simulation of the prototype archive; tag and comment it as such."""
        from archive_assets.prototype_archive.importing import import_from_prototype  # noqa: PLC0415 - it imports this module

        return import_from_prototype(
            self, archive_base, sim_date, sim_index, proto_sim_archive_uri
        )
