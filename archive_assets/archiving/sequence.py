"""Archive a visit sequence as one act: objects and metadata together, or nothing.

The objects are stored and proved first, under a fresh UUID that nobody refers to;
one transaction then makes everything known. If that fails the objects are removed;
if the process dies between, `vseqarchive gc` finds them as orphans.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol, Unpack
from uuid import UUID, uuid4

from sqlalchemy import Connection
from typing_extensions import override

from archive_assets.archiving.incoming_visits import (
    VISITS_NAME,
    incoming_visits,
    n_visits,
    window,
)
from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.metadata import annotations, sequences
from archive_assets.metadata.environments import insert_environment
from archive_assets.metadata.errors import (
    DuplicateEntryError,
    InvalidValueError,
    UnknownSequenceError,
)
from archive_assets.metadata.files import RegisteredFile, insert_file
from archive_assets.metadata.sequences import NewSequence
from archive_assets.metadata.statistics_rows import insert_rows
from archive_assets.metadata.values import (
    Day,
    Details,
    checked_details,
    checked_hash,
    checked_name,
    checked_nights,
    checked_tags,
    checked_text,
    checked_time,
)
from archive_assets.objects.datastore import DataStore, StoredObject
from pipeline_runtime.documents import open_regular
from visit_tables.content_hash import HASH_ALGORITHM
from visit_tables.statistics import NightStatistics, night_statistics

__all__ = ["VISITS_NAME", "ArchivedSequence", "KeyConflictError",
           "archive_visit_sequence"]  # fmt: skip


class HasTransactions(Protocol):
    """A `VisitSequenceArchiveMetadata`, or the `MetadataDatabase` beneath it."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction."""
        ...


@dataclass(frozen=True, slots=True)
class ArchivedSequence:
    """What archiving left behind.

    Attributes
    ----------
    uuid
        The sequence.
    url
        Where its visits are.
    already_archived
        Whether it was there before, and nothing was done.
    """

    uuid: UUID
    url: str
    already_archived: bool


class KeyConflictError(ArchiveError, ValueError):
    """Other visits are archived under this idempotency key."""

    def __init__(self, key: str, stored: UUID) -> None:
        super().__init__(key, stored)
        self.key = key
        self.stored = stored

    @override
    def __str__(self) -> str:
        return (
            f"other visits are archived under the key {self.key!r}, as {self.stored}; "
            "nothing was changed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A sequence with everything checked and computed, before anything is stored."""

    uuid: UUID
    sequence: NewSequence
    created: datetime
    visits: Path
    files: Mapping[str, Path]
    registered: Mapping[str, RegisteredFile]
    tags: Sequence[str]
    comments: Sequence[str]
    author: str | None
    environment: tuple[bytes, str] | None
    statistics: Sequence[NightStatistics]


def archive_visit_sequence(
    *,
    vsarch: HasTransactions,
    store: DataStore | None,
    visits: str | Path,
    label: str,
    telescope: str = "simonyi",
    kind: str = "simulations",
    tags: Sequence[str] = (),
    files: Mapping[str, str | Path] | None = None,
    registered: Mapping[str, RegisteredFile] | None = None,
    first_day_obs: Day = None,
    last_day_obs: Day = None,
    creation_time: object = None,
    stats_columns: Sequence[str] | None = None,
    conda_env: tuple[bytes, str] | None = None,
    comments: Sequence[str] = (),
    author: str | None = None,
    idempotency_key: str | Callable[[str], str] | None = None,
    **details: Unpack[Details],
) -> ArchivedSequence:
    """Store visits and files, and record all about them; everything or nothing.

    Parameters
    ----------
    vsarch
        The metadata database.
    store
        Where the objects go: ``telescope/creation day/uuid/name``. None leaves the
        visits where they are: only their metadata are recorded.
    visits
        Opsim (SQLite) file, stored as HDF5; or an HDF5 file with the key
        ``observations``, stored as it is unless it holds pickles (pandas' fixed
        format): then it is rewritten. The stored name is ``visits.h5``.
    label, telescope, tags
        As people will look for it.
    kind
        ``simulations``, ``completed``, ``mixedvisitseq`` or ``visitseq``.
    files
        Other files to store, by type.
    registered
        Files that stay where they are, by type.
    first_day_obs, last_day_obs
        Window of nights; by default those of the first and last visit.
    creation_time
        Aware time; now by default.
    stats_columns
        Columns to record nightly statistics of; an empty list for no statistics. By
        default ``altitude`` and ``azimuth``, as far as the visits have them.
    conda_env
        Hash and JSON of the environment to record; gives ``conda_env_sha256``.
    comments, author
        Comments to attach, and whose they are.
    idempotency_key
        What makes this sequence the same as another, or a function that returns it
        from the hexadecimal hash of the visits. By default its visits, files
        and all that describes them, without time, tags and comments.
    **details
        Columns of the kind: see `archive_assets.metadata.values.Details`.

    Returns
    -------
    archived
        The new sequence; or the living one with the same key, left as it was.

    Raises
    ------
    KeyConflictError
        If the given key belongs to a sequence of other visits.
    ArchiveError
        If an argument is wrong, or the store or the database refuses; then nothing
        is left of it.
    """
    if conda_env is not None:
        details["conda_env_sha256"] = conda_env[0]
    asked = checked_nights(first_day_obs, last_day_obs)
    created = checked_time(creation_time) or datetime.now(UTC)
    uuid = uuid4()
    with incoming_visits(Path(visits), stats_columns) as incoming:
        batch = incoming.needed
        first, last = window(batch, *asked)
        new = NewSequence(
            kind=kind,
            label=checked_text(label, "the label"),
            telescope=checked_name(telescope, "telescope"),
            visits_sha256=incoming.sha256,
            hash_algorithm=HASH_ALGORITHM,
            first_day_obs=first,
            last_day_obs=last,
            creation_time=created,
            details=checked_details(kind, details),
            uuid=uuid,
        )
        plan = _Plan(
            uuid=uuid,
            sequence=new,
            created=created,
            visits=incoming.path,
            files=_checked_files(files or {}, store),
            registered=registered or {},
            tags=checked_tags(tags),
            comments=[checked_text(words, "a comment") for words in comments],
            author=None if author is None else checked_text(author, "the author"),
            environment=conda_env,
            statistics=night_statistics(batch, incoming.stats_columns)
            if incoming.stats_columns and n_visits(batch)
            else (),
        )
        plan = _with_key(plan, idempotency_key)
        return _archived_before(vsarch, plan) or _store(vsarch, store, plan)


def _with_key(plan: _Plan, key: str | Callable[[str], str] | None) -> _Plan:
    """Return the plan with its idempotency key: the caller's, or of its content."""
    if key is None:
        key = _content_key(plan)
    elif not isinstance(key, str):
        key = key(plan.sequence.visits_sha256.hex())
    key = checked_text(key, "the idempotency key")
    return replace(plan, sequence=replace(plan.sequence, idempotency_key=key))


def _checked_files(
    files: Mapping[str, str | Path], store: DataStore | None
) -> dict[str, Path]:
    if files and store is None:
        raise InvalidValueError("without a store no files can be archived")
    checked = {}
    for file_type, path in files.items():
        if file_type == "visits":
            raise InvalidValueError("the visits are given as such, not as a file")
        if not Path(path).is_file():
            raise InvalidValueError(f"there is no file {path} to archive")
        checked[checked_name(file_type, "file type")] = Path(path)
    return checked


def _content_key(plan: _Plan) -> str:
    """Return a key that is the same for the same content and description."""
    new = plan.sequence
    content = {
        "kind": new.kind,
        "telescope": new.telescope,
        "label": new.label,
        "visits": [new.hash_algorithm, new.visits_sha256.hex()],
        "nights": [_iso(new.first_day_obs), _iso(new.last_day_obs)],
        "details": {name: str(value) for name, value in new.details.items()},
        "files": {name: _sha256_of(path) for name, path in plan.files.items()}
        | {name: file.sha256.hex() for name, file in plan.registered.items()},
    }
    text = json.dumps(content, sort_keys=True)
    return "content:" + hashlib.sha256(text.encode()).hexdigest()


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _sha256_of(path: Path) -> str:
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _archived_before(vsarch: HasTransactions, plan: _Plan) -> ArchivedSequence | None:
    """Return the living sequence with the plan's key, if there is one."""
    key = str(plan.sequence.idempotency_key)
    with vsarch.transaction() as connection:
        uuid = sequences.sequence_with_key(connection, key)
        if uuid is None:
            return None
        stored, url = sequences.content_of(connection, uuid)
    if stored != plan.sequence.visits_sha256:
        raise KeyConflictError(key, uuid)
    return ArchivedSequence(uuid, url or "", already_archived=True)


def _store(
    vsarch: HasTransactions, store: DataStore | None, plan: _Plan
) -> ArchivedSequence:
    """Store the objects, then record them; remove them if that fails."""
    stored: dict[str, StoredObject] = {}
    is_committing = False
    try:
        if store is not None:
            _put_all(store, plan, stored)
        with vsarch.transaction() as connection:
            _record(connection, plan, stored)
            is_committing = True
    except BaseException as error:
        if is_committing and _may_be_known(vsarch, plan.uuid):
            raise
        if store is not None:
            _remove_all(store, stored)
        before = None
        if isinstance(error, DuplicateEntryError):
            before = _archived_before(vsarch, plan)  # by another process meanwhile
        if before is None:
            raise
        return before
    url = stored["visits"].url.geturl() if stored else ""
    return ArchivedSequence(plan.uuid, url, already_archived=False)


def _may_be_known(vsarch: HasTransactions, uuid: UUID) -> bool:
    """Tell whether a commit that failed may have come through nonetheless."""
    try:
        with vsarch.transaction() as connection:
            sequences.check_sequences(connection, uuid)
    except UnknownSequenceError:
        return False
    except EXPECTED_ERRORS:
        return True  # nobody can tell; if not, gc finds the objects as orphans
    return True


def _put_all(store: DataStore, plan: _Plan, stored: dict[str, StoredObject]) -> None:
    """Store every file; ``stored`` holds what is there, also after an error."""
    for file_type, (path, name) in _names(plan).items():
        location = store.location(
            plan.sequence.telescope, plan.created, plan.uuid, name
        )
        stored[file_type] = store.put(path, location)


def _remove_all(store: DataStore, stored: Mapping[str, StoredObject]) -> None:
    """Remove what was stored; what resists is an orphan, for gc to find."""
    for thing in stored.values():
        with suppress(ArchiveError, OSError):
            store.delete(thing.url)


def _names(plan: _Plan) -> dict[str, tuple[Path, str]]:
    """Return each file with the name to store it under; no two names are equal."""
    named = {"visits": (plan.visits, VISITS_NAME)}
    taken = {VISITS_NAME}
    for file_type, path in plan.files.items():
        name = path.name if path.name not in taken else f"{file_type}-{path.name}"
        taken.add(name)
        named[file_type] = (path, name)
    return named


def _record(
    connection: Connection, plan: _Plan, stored: Mapping[str, StoredObject]
) -> None:
    if plan.environment is not None:
        insert_environment(connection, *plan.environment)
    uuid = sequences.insert_sequence(connection, plan.sequence)
    annotations.add_tags(connection, uuid, plan.tags)
    for words in plan.comments:
        annotations.add_comment(connection, uuid, words, plan.author)
    for file_type, thing in stored.items():
        url, sha256 = thing.url.geturl(), checked_hash(thing.sha256, file_type)
        if file_type == "visits":
            sequences.set_visits_object(connection, uuid, url, sha256, thing.size)
        else:
            file = RegisteredFile(url, sha256, thing.size)
            insert_file(connection, uuid, file_type, file)
    for file_type, file in plan.registered.items():
        insert_file(connection, uuid, checked_name(file_type, "file type"), file)
    insert_rows(connection, uuid, plan.statistics)
    sequences.complete_sequence(connection, uuid)
