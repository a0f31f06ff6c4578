"""The metadata database of visit sequences, under the original's names.

`VisitSequenceArchiveMetadata` is a face: each method checks its arguments, opens one
transaction and calls one function of `archive_assets.metadata`.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

import pandas as pd
from lsst.resources import ResourcePath
from sqlalchemy import Connection

from archive_assets.metadata import (
    annotations,
    database,
    environments,
    files,
    nightly_statistics,
    nights,
    search,
    selects,
    sequences,
    trash,
)
from archive_assets.metadata.errors import InvalidValueError, SchemaNameError
from archive_assets.metadata.frames import frame
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.metadata.sequences import NewSequence
from archive_assets.metadata.settings import connection_settings
from archive_assets.metadata.values import (
    Day,
    Details,
    checked_details,
    checked_field,
    checked_hash,
    checked_name,
    checked_nights,
    checked_tags,
    checked_text,
    checked_time,
    checked_url,
    checked_uuid,
    optional_day,
)
from visit_tables.content_hash import HASH_ALGORITHM
from visit_tables.day_obs import DayObs, today_day_obs
from visit_tables.frame_summaries import visits_sha256

__all__ = ["VisitSequenceArchiveMetadata"]

P = ParamSpec("P")
R = TypeVar("R")
_LOG = logging.getLogger(__name__)


class VisitSequenceArchiveMetadata:
    """The metadata database of visit sequences; safe to share between threads.

    Nothing is connected before the first call. Use it in a ``with`` statement, or
    `close` it; else its connections go when it does.

    Parameters
    ----------
    metadata_db_kwargs
        Arguments of `psycopg.connect` (``database`` or ``dbname``, ``host``,
        ``user``, ``port``...); what is missing or None comes from
        ``VSARCHIVE_PGDATABASE|PGHOST|PGUSER|PGPORT``, then from the constants of
        `archive_assets.metadata.settings`.
    metadata_db_schema
        Schema; else ``VSARCHIVE_PGSCHEMA``, else ``vsmd``.

    Notes
    -----
    A mistake raises one of `archive_assets.metadata.errors`, which the classes that
    the original raised for it catch as well. An unknown UUID is refused everywhere.
    """

    def __init__(
        self,
        metadata_db_kwargs: Mapping[str, object] | None = None,
        metadata_db_schema: str | None = None,
    ) -> None:
        settings = connection_settings(metadata_db_kwargs, metadata_db_schema)
        self.database = database.MetadataDatabase(settings)
        self.metadata_db_schema = settings.schema
        self.sa_engine = self.database.engine
        self.pg_pool = database.PooledConnections(self.sa_engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        self.database.close()

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction for functions of `archive_assets.metadata`."""
        return self.database.transaction()

    def _on(
        self,
        act: Callable[Concatenate[Connection, UUID, P], R],
        visitseq_uuid: object,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Do one thing with one sequence, in one transaction."""
        uuid = checked_uuid(visitseq_uuid)
        with self.transaction() as connection:
            return act(connection, uuid, *args, **kwargs)

    def query(
        self,
        query: str | database.Part,
        data: Mapping[str, object] | Sequence[object] = (),
        commit: bool = False,
        return_result: bool = True,
    ) -> Sequence[tuple[Any, ...]] | tuple[None]:
        """Run one statement in the archive's schema and return its rows.

        Parameters
        ----------
        query
            SQL text, or what `psycopg.sql` or ``psycopg2.sql`` composes.
        data
            Values of its ``%s`` or ``%(name)s``.
        commit
            Keep what the statement changes; else everything is rolled back.
        return_result
            Whether the statement returns rows.

        Returns
        -------
        rows
            All rows; ``(None,)`` if no result is wanted.
        """
        return database.run_query(self.database, query, data, commit, return_result)

    def pd_read_sql(
        self,
        query_template: str,
        sql_params: Sequence[database.Part] | None = None,
        query_params: tuple[object, ...] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a query.

        Parameters
        ----------
        query_template
            SQL text, in which ``{}`` stand for identifiers and ``%s`` for values.
        sql_params
            The identifiers, of `psycopg.sql` or ``psycopg2.sql``.
        query_params
            The values.
        """
        statement = database.compose(query_template, sql_params or ())
        with self.transaction() as connection:
            return frame(connection.exec_driver_sql(statement, query_params or None))

    def create_schema_in_database(self) -> None:
        """Make a schema named as a test's; SchemaNameError for any other name."""
        if "test" not in self.metadata_db_schema:
            raise SchemaNameError(
                f"{self.metadata_db_schema!r} is not a test schema: "
                "use `vseqarchive schema create`"
            )
        from archive_assets.metadata.schema import create_schema  # noqa: PLC0415 - alembic takes 0.3 s

        create_schema(self.database)
        _LOG.info("created schema %s", self.metadata_db_schema)

    def record_visitseq_metadata(  # noqa: PLR0917 - the original's order
        self, visits: pd.DataFrame, label: str, telescope: str = "simonyi",
        table: str = "visitseq", url: str | None = None,
        first_day_obs: Day = None, last_day_obs: Day = None,
        creation_time: object = None,
    ) -> UUID:  # fmt: skip
        """Record a visit sequence and return its new UUID.

        Parameters
        ----------
        visits
            Its visits, of which the content hash is stored.
        label, telescope, url
            Words for people; the telescope's name; where the visits are.
        table
            ``visitseq``, ``simulations``, ``completed`` or ``mixedvisitseq``.
        first_day_obs, last_day_obs
            Window of nights.
        creation_time
            Astropy ``Time`` or aware datetime; now by default.

        Raises
        ------
        InvalidValueError, UnknownTableError
            If an argument cannot be stored.
        """
        return self._record(
            visits, label, telescope, table, url, first_day_obs, last_day_obs,
            creation_time, Details(),
        )  # fmt: skip

    def _record(  # noqa: PLR0917 - the original's order
        self, visits: pd.DataFrame, label: str, telescope: str, kind: str,
        url: str | None, first_day_obs: Day, last_day_obs: Day, creation_time: object,
        details: Details,
    ) -> UUID:  # fmt: skip
        first, last = checked_nights(first_day_obs, last_day_obs)
        new = NewSequence(
            kind=kind,
            label=checked_text(label, "the label"),
            telescope=checked_name(telescope, "telescope"),
            visits_sha256=visits_sha256(visits),
            hash_algorithm=HASH_ALGORITHM,
            url=None if url is None else checked_url(url, "the URL"),
            first_day_obs=first,
            last_day_obs=last,
            creation_time=checked_time(creation_time),
            details=checked_details(kind, details),
        )
        with self.transaction() as connection:
            return sequences.insert_sequence(connection, new)

    def record_simulation_metadata(  # noqa: PLR0917 - the original's order
        self, visits: pd.DataFrame, label: str, telescope: str = "simonyi",
        url: str | None = None, first_day_obs: Day = None, last_day_obs: Day = None,
        creation_time: object = None, scheduler_version: str | None = None,
        config_url: str | None = None, conda_env_sha256: bytes | None = None,
        parent_visitseq_uuid: UUID | None = None,
        sim_runner_kwargs: Mapping[str, object] | None = None,
        parent_last_day_obs: Day = None,
    ) -> UUID:  # fmt: skip
        """Record a simulation, in one transaction, and return its new UUID.

        The first arguments are those of `record_visitseq_metadata`.

        Parameters
        ----------
        scheduler_version, config_url
            Version of rubin_scheduler; where the configuration script is.
        conda_env_sha256
            Hash of an environment stored by `record_conda_env`.
        parent_visitseq_uuid, parent_last_day_obs
            The sequence that it started from, and the last night taken from it.
        sim_runner_kwargs
            Arguments of the simulation; one that JSON cannot hold is stored as its
            ``repr``.

        Raises
        ------
        InvalidValueError
            If an argument cannot be stored.
        UnknownSequenceError
            If there is no such parent or environment.
        """
        details = Details(
            scheduler_version=scheduler_version,
            config_url=config_url,
            conda_env_sha256=conda_env_sha256,
            parent_visitseq_uuid=parent_visitseq_uuid,
            sim_runner_kwargs=sim_runner_kwargs,
            parent_last_day_obs=parent_last_day_obs,
        )
        return self._record(
            visits, label, telescope, "simulations", url, first_day_obs, last_day_obs,
            creation_time, details,
        )  # fmt: skip

    def record_completed_metadata(  # noqa: PLR0917 - the original's order
        self, visits: pd.DataFrame, label: str, telescope: str = "simonyi",
        url: str | None = None, first_day_obs: Day = None, last_day_obs: Day = None,
        creation_time: object = None, query: str | None = None,
    ) -> UUID:  # fmt: skip
        """Record completed visits, in one transaction, and return the new UUID.

        The first arguments are those of `record_visitseq_metadata`.

        Parameters
        ----------
        query
            The ConsDB query that the visits came from.
        """
        details = Details(query=query)
        return self._record(
            visits, label, telescope, "completed", url, first_day_obs, last_day_obs,
            creation_time, details,
        )  # fmt: skip

    def record_mixed_metadata(  # noqa: PLR0917 - the original's order
        self, visits: pd.DataFrame, label: str, last_early_day_obs: DayObs,
        first_late_day_obs: DayObs, early_parent_uuid: UUID, late_parent_uuid: UUID,
        telescope: str = "simonyi",
        url: str | None = None, first_day_obs: Day = None, last_day_obs: Day = None,
        creation_time: object = None,
    ) -> UUID:  # fmt: skip
        """Record a sequence made of an early and a late parent; return its new UUID.

        The other arguments are those of `record_visitseq_metadata`.

        Parameters
        ----------
        last_early_day_obs, first_late_day_obs
            Last night taken from the early parent, first from the late one.
        early_parent_uuid, late_parent_uuid
            The parents.
        """
        details = Details(
            last_early_day_obs=last_early_day_obs,
            first_late_day_obs=first_late_day_obs,
            early_parent_uuid=early_parent_uuid,
            late_parent_uuid=late_parent_uuid,
        )
        return self._record(
            visits, label, telescope, "mixedvisitseq", url, first_day_obs,
            last_day_obs, creation_time, details,
        )  # fmt: skip

    def set_visitseq_url(self, visitseq_uuid: UUID, visitseq_url: str) -> None:
        """Set where the visits are.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        visitseq_url
            URL of the file of visits; it is not opened.
        """
        self._on(sequences.set_url, visitseq_uuid, checked_url(visitseq_url, "the URL"))

    def update_visitseq_metadata(
        self, visitseq_uuid: UUID, field: str, value: object
    ) -> None:
        """Set one column, in whichever table holds the sequence.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        field
            Name of a column that may be changed; InvalidValueError for any other.
        value
            Of the column's type, or text that can be read as it.
        """
        checked = checked_field(field, value)
        self._on(sequences.update_field, visitseq_uuid, field, checked)

    def get_visitseq_metadata(
        self, visitseq_uuid: UUID, table: str = "visitseq"
    ) -> "pd.Series[Any]":
        """Return the row of a sequence in a table or in ``simulations_extra``.

        Parameters
        ----------
        visitseq_uuid
            The sequence.
        table
            ``visitseq``, which has every kind, ``simulations``, ``completed``,
            ``mixedvisitseq`` or the view ``simulations_extra``.

        Raises
        ------
        UnknownTableError
            If it is not a table of sequences.
        UnknownSequenceError
            If the sequence is not in it.
        """
        return self._on(search.row_of_sequence, visitseq_uuid, table)

    def get_visitseq_url(self, visitseq_uuid: UUID) -> str | None:
        """Return where the visits are; None if they are not archived.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        return self._on(sequences.get_url, visitseq_uuid)

    def is_tagged(self, visitseq_uuid: UUID, tag: str) -> bool:
        """Tell whether a sequence has a tag.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        tag
            Compared exactly.
        """
        return self._on(annotations.is_tagged, visitseq_uuid, tag)

    def tag(self, visitseq_uuid: UUID, *tags: str) -> None:
        """Tag a sequence; a tag that it has already stays once.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        *tags
            The tags, all or none of which are added; none is empty.
        """
        self._on(annotations.add_tags, visitseq_uuid, checked_tags(tags))

    def untag(self, visitseq_uuid: UUID, tag: str) -> None:
        """Take a tag away.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        tag
            NotTaggedError if the sequence does not have it.
        """
        self._on(annotations.remove_tag, visitseq_uuid, tag)

    def comment(
        self, visitseq_uuid: UUID, comment: str, author: str | None = None
    ) -> None:
        """Attach a comment, dated now.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        comment
            Its text.
        author
            Who says so; unknown by default.
        """
        words = checked_text(comment, "the comment")
        if author is not None:
            author = checked_text(author, "the author")
        self._on(annotations.add_comment, visitseq_uuid, words, author)

    def get_comments(self, visitseq_uuid: UUID) -> pd.DataFrame:
        """Return the comments, oldest first; columns as in the table.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        return self._on(search.read_comments, visitseq_uuid)

    def register_file(
        self,
        visitseq_uuid: UUID,
        file_type: str,
        file_sha256: bytes,
        location: str | ResourcePath,
        update: bool = False,
    ) -> None:
        """Register a file of a sequence, wherever it is; it is not opened.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        file_type
            Such as ``rewards``: letters, digits and ``_.-``.
        file_sha256
            SHA-256 of its bytes, 32 bytes.
        location
            Its URL.
        update
            Replace a file of the same type; else DuplicateEntryError.
        """
        if not isinstance(location, str | ResourcePath):
            raise InvalidValueError(f"{location!r} is not a location")
        url = location if isinstance(location, str) else location.geturl()
        file = files.RegisteredFile(
            checked_url(url, "the location"),
            checked_hash(file_sha256, "file_sha256"),
            None,
        )
        file_type = checked_name(file_type, "file type")
        self._on(files.insert_file, visitseq_uuid, file_type, file, update=update)

    def get_file_url(self, visitseq_uuid: UUID, file_type: str) -> str | None:
        """Return the URL of a file of a sequence.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        file_type
            ``visits``, or a registered type; MissingFileError if there is none.
        """
        if file_type == "visits":
            return self.get_visitseq_url(visitseq_uuid)
        return self._on(files.registered_file, visitseq_uuid, file_type).url

    def get_file_sha256(self, visitseq_uuid: UUID, file_type: str) -> bytes:
        """Return the SHA-256 of a registered file, 32 bytes.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        file_type
            Its type; MissingFileError if none is registered.
        """
        return self._on(files.registered_file, visitseq_uuid, file_type).sha256

    def insert_nightly_stats(
        self, visitseq_uuid: UUID, nightly_stats: pd.DataFrame
    ) -> None:
        """Store nightly statistics, all or none.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        nightly_stats
            A row a night and value, with the columns that `compute_nightly_stats`
            gives; DuplicateEntryError if one is stored already.
        """
        self._on(nightly_statistics.insert_statistics, visitseq_uuid, nightly_stats)

    def query_nightly_stats(self, visitseq_uuid: UUID) -> pd.DataFrame:
        """Return the nightly statistics in the order of the table's columns.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        return self._on(nightly_statistics.read_statistics, visitseq_uuid)

    def conda_env_is_saved(self, conda_env_hash: bytes) -> bool:
        """Tell whether an environment is stored.

        Parameters
        ----------
        conda_env_hash
            SHA-256 of its JSON, 32 bytes.
        """
        env_hash = checked_hash(conda_env_hash, "conda_env_hash")
        with self.transaction() as connection:
            return environments.is_environment_saved(connection, env_hash)

    def record_conda_env(
        self, conda_env_hash: bytes | None = None, conda_env_json: str | None = None
    ) -> bytes:
        """Store an environment, the current one by default, and return its hash.

        Parameters
        ----------
        conda_env_hash, conda_env_json
            SHA-256, 32 bytes, and text of what ``conda list --json`` prints; both or
            neither. One that is stored already is a `UserWarning`.
        """
        if (conda_env_hash is None) != (conda_env_json is None):
            raise InvalidValueError("give the hash and the JSON, or neither")
        if conda_env_hash is None or conda_env_json is None:
            conda_env_hash, conda_env_json = environments.compute_conda_env()
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
        """Return the simulations that cover a first and a last night.

        Parameters
        ----------
        first_day_obs, last_day_obs
            Today (UTC-12), and the first one, by default.
        tags
            All must be present; empty for any.
        telescope
            Exact name.
        max_simulation_age
            Days since their creation, at most.

        Returns
        -------
        simulations
            Columns of ``simulations_extra``, oldest first.
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

        Parameters
        ----------
        day_obs
            The night; today (UTC-12) by default.
        tags, telescope, max_simulation_age
            As in `sims_on_nights`.
        accumulated
            Statistics of all nights through this one, not of it alone.

        Returns
        -------
        simulations
            ``stats`` holds ``{value_name: {...}}``, None where there are no statistics.
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
        """Return the simulation with a number within its day.

        Parameters
        ----------
        sim_date
            Day of its creation, UTC-12.
        daily_id
            Its number on that day.
        """
        day = optional_day(sim_date, "sim_date")
        if day is None or not str(daily_id).isdigit():
            raise InvalidValueError(f"there is no simulation {sim_date}/{daily_id}")
        with self.transaction() as connection:
            return nights.simulation_on_day(connection, day, int(daily_id))

    def get_software_versions_for_sim(
        self, visitseq_uuid: UUID, packages: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return the packages a simulation ran with, indexed by name.

        Parameters
        ----------
        visitseq_uuid
            The simulation; UnknownSequenceError if there is none.
        packages
            Names, of which those that were there are returned; all by default.
        """
        versions = self._on(search.packages_of_simulation, visitseq_uuid)
        if packages is None:
            return versions
        return versions.loc[[name for name in packages if name in versions.index], :]

    def search(self, criteria: SearchCriteria) -> pd.DataFrame:
        """Return the sequences of any kind that match, newest first.

        Parameters
        ----------
        criteria
            What to look for; one row a sequence, without those in the trash unless
            its ``state`` asks for them.
        """
        with self.transaction() as connection:
            return search.search_sequences(connection, criteria)

    def describe(self, visitseq_uuid: UUID) -> dict[str, object]:
        """Return everything about one sequence as values that JSON can hold.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        return self._on(selects.describe_sequence, visitseq_uuid)

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
        """Return the statistics of a range of nights, all simulations in one query.

        Parameters
        ----------
        first_day_obs, last_day_obs
            Both included.
        tags, telescope
            Of the simulations; empty and None for any.
        values
            Names of statistics; all by default.
        accumulated
            Statistics of all nights through each one, not of it alone.
        """
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
        """Hide a sequence from every search; `restore` brings it back.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        self._on(trash.trash, visitseq_uuid)

    def restore(self, visitseq_uuid: UUID) -> None:
        """Take a sequence out of the trash.

        Parameters
        ----------
        visitseq_uuid
            The sequence; UnknownSequenceError if there is none.
        """
        self._on(trash.restore, visitseq_uuid)

    def sim_metadata_yaml(self, visitseq_uuid: UUID) -> str:
        """Return a simulation's metadata as the prototype archive's YAML.

        Parameters
        ----------
        visitseq_uuid
            The simulation; UnknownSequenceError if there is none.
        """
        return search.simulation_yaml(
            self.get_visitseq_metadata(visitseq_uuid, "simulations_extra")
        )
