"""The pre-night index: which simulations cover a night, from database or store.

Readers try the database, with short time-outs, then the index in the store. Only a
database that cannot be reached, or is too slow, sends them there: any other error is
theirs to see. The frame says in its ``attrs`` where it came from and how old it is.
"""

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pandas as pd
from lsst.resources import ResourcePath
from sqlalchemy import text

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import (
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    InvalidValueError,
    UnknownSequenceError,
)
from archive_assets.metadata.nights import simulations_on_nights
from archive_assets.metadata.values import checked_name, checked_uuid
from archive_assets.nights.index_json import (
    IndexFileError,
    dump_index,
    index_frame,
    load_index,
)
from archive_assets.objects.transfer import read_object, store_errors
from pipeline_runtime.environment import is_set, text_of
from pipeline_runtime.urls import check_url
from visit_tables.day_obs import DayObs, dayobs_to_date

__all__ = [
    "MAX_AGE",
    "PRENIGHT_INDEX_URL",
    "PUBLISHED_AGE",
    "TELESCOPES",
    "IndexFileError",
    "get_prenight_index",
    "get_prenight_index_from_bucket",
    "get_prenight_index_from_database",
    "get_sim_metadata",
    "get_sim_uuid",
    "prenight_index_path",
    "publish",
    "select_latest_prenight_sim",
    "write_prenight_index",
]

_LOG = logging.getLogger(__name__)
MAX_AGE = 365
"""Maximum age, in days, of a simulation that a reader is shown."""
TELESCOPES = ("simonyi", "auxtel")
PRENIGHT_INDEX_URL = "s3://rubin:rubin-scheduler-prenight/opsim/prenight_index/"
"""Where indexes are when neither a caller nor the environment says otherwise."""

PUBLISHED_AGE = 4000
"""Maximum age, in days, of a simulation in a published index."""
_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_S = 10.0
_VIEW_COLUMNS_FIRST = ("sim_creation_day_obs", "daily_id", "visitseq_uuid")


def prenight_index_path(
    day_obs: DayObs, telescope: str, base: str | ResourcePath | None = None
) -> ResourcePath:
    """Return where the index of a night is: the month is not padded.

    Parameters
    ----------
    day_obs, telescope
        The night and the telescope.
    base
        Folder of all indexes; else ``PRENIGHT_INDEX_URL``, else the observatory's.
    """
    if base is None:
        base = text_of("PRENIGHT_INDEX_URL") or PRENIGHT_INDEX_URL
    check_url(base, "the place of the pre-night indexes")
    day = dayobs_to_date(day_obs)
    name = checked_name(telescope, "telescope")
    return ResourcePath(base, forceDirectory=True).join(
        f"{name}/{day.year}/{day.month}/{name}_prenights_for_{day.isoformat()}.json"
    )


def get_prenight_index_from_database(  # noqa: PLR0917 - the original's order
    day_obs: DayObs,
    telescope: str = "simonyi",
    schema: str | None = None,
    host: str | None = None,
    user: str | None = None,
    database: str | None = None,
    port: int | str | None = None,
) -> pd.DataFrame:
    """Return the simulations tagged ``prenight`` that cover a night.

    Parameters
    ----------
    day_obs, telescope
        The night and the telescope.
    schema, host, user, database, port
        The metadata database; None as for `VisitSequenceArchiveMetadata`.

    Returns
    -------
    prenights
        By ``visitseq_uuid`` (`uuid.UUID`): the columns of ``simulations_extra`` and
        ``stats`` of the night; oldest first. ``attrs`` hold ``source``,
        ``generated`` and ``age``.
    """
    connect: dict[str, object] = {
        "host": host,
        "user": user,
        "database": database,
        "port": port,
    }
    if not is_set("VSARCHIVE_CONNECT_TIMEOUT_S"):
        connect["connect_timeout"] = _CONNECT_TIMEOUT_S
    if not is_set("VSARCHIVE_STATEMENT_TIMEOUT_S"):
        connect["statement_timeout_s"] = _STATEMENT_TIMEOUT_S
    with VisitSequenceArchiveMetadata(connect, schema) as vsarch:
        found = vsarch.sims_on_night_with_stats(
            day_obs, ("prenight",), telescope, MAX_AGE
        )
    _LOG.info("got %d simulations from the database", len(found))
    return _with_source(index_frame(found), "database", datetime.now(UTC))


def get_prenight_index_from_bucket(
    day_obs: DayObs,
    telescope: str = "simonyi",
    prenight_index_path: str | ResourcePath | None = None,
) -> pd.DataFrame:
    """Return the index in the store, equal in types to that of the database.

    Raises
    ------
    FileNotFoundError
        If there is none for the night.
    StoreError
        If the store fails.
    IndexFileError
        If it cannot be read.
    """
    location = _location(day_obs, telescope, prenight_index_path)
    index = load_index(read_object(location), location.geturl())
    return _with_source(index.frame, location.geturl(), index.generated)


_location = prenight_index_path


def get_prenight_index(  # noqa: PLR0917 - the original's order
    day_obs: DayObs,
    telescope: str = "simonyi",
    schema: str | None = None,
    host: str | None = None,
    user: str | None = None,
    database: str | None = None,
    prenight_index_path: str | ResourcePath | None = None,
    port: int | str | None = None,
) -> pd.DataFrame:
    """Return the index of a night from the database; if it is away, from the store.

    Parameters
    ----------
    day_obs
        The night.
    telescope
        Its name.
    schema, host, user, database, port
        Where the metadata are; None means the environment's ``VSARCHIVE_...``.
    prenight_index_path
        Base URL of the indexes; ``PRENIGHT_INDEX_URL`` by default.

    Returns
    -------
    prenights
        As `get_prenight_index_from_database`. Where neither knows the night it is
        empty, with all columns. ``attrs["source"]`` is ``database``, the URL of the
        index, or ``none``; ``attrs["age"]`` its age, None if unknown.
    """
    try:
        return get_prenight_index_from_database(
            day_obs, telescope, schema, host, user, database, port
        )
    except (DatabaseUnavailableError, DatabaseTimeoutError) as error:
        _LOG.warning("no database, reading the index in the store: %s", error)
    try:
        index = get_prenight_index_from_bucket(day_obs, telescope, prenight_index_path)
    except FileNotFoundError:
        _LOG.warning("the store has no index of %s for %s either", telescope, day_obs)
        return _with_source(load_index("{}", "nowhere").frame, "none", None)
    _LOG.info("using %s, %s old", index.attrs["source"], index.attrs["age"])
    return index


def _with_source(
    index: pd.DataFrame, source: str, generated: datetime | None
) -> pd.DataFrame:
    index.attrs["source"] = source
    index.attrs["generated"] = generated
    index.attrs["age"] = None if generated is None else datetime.now(UTC) - generated
    return index


def write_prenight_index(
    vsarch: VisitSequenceArchiveMetadata,
    day_obs: DayObs,
    telescope: str,
    destination: str | ResourcePath | None = None,
) -> str:
    """Publish the index of a night, whole or not at all, and return its URL.

    Publishers of one night wait for each other, so that the last one to write is the
    last one to have read.

    Parameters
    ----------
    vsarch
        The metadata database.
    day_obs, telescope
        The night and the telescope.
    destination
        Folder of all indexes; else ``PRENIGHT_INDEX_URL``.
    """
    day = dayobs_to_date(day_obs)
    location = _location(day, telescope, destination)
    with vsarch.transaction() as connection:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"prenight index {location.geturl()}"},
        )
        simulations = simulations_on_nights(
            connection,
            day,
            day,
            tags=["prenight"],
            telescope=telescope,
            max_age_days=PUBLISHED_AGE,
            with_stats=True,
        )
        content = dump_index(index_frame(simulations), datetime.now(UTC))
        with store_errors(location):
            publish(location, content.encode())
    _LOG.info("published %d simulations at %s", len(simulations), location)
    return str(location.geturl())


def publish(location: ResourcePath, content: bytes) -> None:
    """Replace an object at once, so that a reader sees the old or the new."""
    if not location.isLocal:
        location.write(content)  # an object store replaces at once
        return
    location.parent().mkdir()
    with TemporaryDirectory(dir=location.parent().ospath, prefix=".new-") as folder:
        staged = os.path.join(folder, "index.json")  # noqa: PTH118 - a plain string
        with open(staged, "wb") as stream:  # noqa: PTH123 - as above
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, location.ospath)  # noqa: PTH105 - as above


def get_sim_uuid(
    sim_date: DayObs,
    daily_id: int | str,
    day_obs: DayObs | None = None,
    vsmd: VisitSequenceArchiveMetadata | None = None,
    **kwargs: Any,
) -> UUID:
    """Return the simulation with a number within its creation day.

    Parameters
    ----------
    sim_date, daily_id
        Creation day (UTC-12), and the number within it.
    day_obs
        A night that it covers, to look in its index; None asks the database.
    vsmd
        The database to ask, whatever ``day_obs`` is.
    **kwargs
        Arguments of `get_prenight_index`.

    Raises
    ------
    UnknownSequenceError
        If there is none.
    """
    if vsmd is not None:
        return vsmd.get_sim_uuid(sim_date, daily_id)
    if day_obs is None:
        with VisitSequenceArchiveMetadata() as archive:
            return archive.get_sim_uuid(sim_date, daily_id)
    created = dayobs_to_date(sim_date)
    if not str(daily_id).isdigit():
        raise InvalidValueError(f"{daily_id!r} is not the number of a simulation")
    for telescope in TELESCOPES:
        index = get_prenight_index(day_obs, telescope, **kwargs)
        for uuid, day, number in zip(
            index.index, index["sim_creation_day_obs"], index["daily_id"], strict=True
        ):
            if day == created and number == int(daily_id):
                return checked_uuid(uuid)
    raise UnknownSequenceError(f"{created}/{daily_id}", f"the indexes of {day_obs}")


def get_sim_metadata(
    visitseq_uuid: UUID | str,
    day_obs: DayObs | None = None,
    vsmd: VisitSequenceArchiveMetadata | None = None,
    **kwargs: Any,
) -> "pd.Series[Any]":
    """Return the metadata of a simulation, as in ``simulations_extra``.

    The series is named by the UUID.

    Parameters
    ----------
    visitseq_uuid
        The simulation.
    day_obs
        A night that it covers, to look in its index; None asks the database.
    vsmd
        The database to ask if there is no ``day_obs``.
    **kwargs
        Arguments of `get_prenight_index`.

    Raises
    ------
    UnknownSequenceError
        If it is not there.
    """
    uuid = checked_uuid(visitseq_uuid)
    if day_obs is None:
        if vsmd is not None:
            found = vsmd.get_visitseq_metadata(uuid, "simulations_extra")
        else:
            with VisitSequenceArchiveMetadata() as archive:
                found = archive.get_visitseq_metadata(uuid, "simulations_extra")
        found.name = uuid
        return found
    for telescope in TELESCOPES:
        index = get_prenight_index(day_obs, telescope, **kwargs)
        if uuid in index.index:
            (row,) = index.loc[[uuid]].reset_index().to_dict("records")
            row.pop("stats")
            names = [
                *_VIEW_COLUMNS_FIRST,
                *(n for n in row if n not in _VIEW_COLUMNS_FIRST),
            ]
            values = [row[name] for name in names]
            return pd.Series(values, names, dtype="object", name=uuid)
    raise UnknownSequenceError(uuid, f"the indexes of {day_obs}")


def select_latest_prenight_sim(
    prenights: pd.DataFrame,
    tags: Sequence[str] = ("ideal", "nominal"),
    max_simulation_age: int = 2,
) -> "pd.Series[Any] | None":
    """Return the newest simulation of an index that has all tags, None if none has.

    Parameters
    ----------
    prenights
        An index; of equal times the later row is taken.
    tags
        All must be present.
    max_simulation_age
        Maximum age in whole days.
    """
    wanted = set(tags)
    now = pd.Timestamp.now(tz="UTC")
    best: dict[Any, Any] | None = None
    for row in prenights.reset_index().to_dict("records"):
        time = row["creation_time"]
        if pd.isna(time) or (now - time).days > max_simulation_age:
            continue
        if wanted <= set(row["tags"]) and (
            best is None or time >= best["creation_time"]
        ):
            best = row
    return None if best is None else pd.Series(best, dtype="object")
