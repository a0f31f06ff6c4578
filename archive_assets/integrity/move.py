"""Move an archive from one store to another: copy, compare, then set the URLs.

Each object is copied and read back before its row names the copy, and a row is only
changed if it still names the object that was copied. So a move that was interrupted
is completed by the same call, and one that is done changes nothing. The old objects
stay: no row names them any more, and `collect_garbage` of the old store removes them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from lsst.resources import ResourcePath

from archive_assets.archiving.sequence import HasTransactions
from archive_assets.errors import EXPECTED_ERRORS, InvalidValueError
from archive_assets.metadata.files import set_object_url
from archive_assets.metadata.inventory import RegisteredObject, registered_objects
from archive_assets.metadata.sequences import lock_sequence
from archive_assets.objects.datastore import DataStore, StoredObject

__all__ = ["Moved", "move_archive"]


@dataclass(slots=True)
class Moved:
    """What was moved, or would be.

    Attributes
    ----------
    n_objects, n_bytes
        Objects that were copied, whose rows name the copies now; the bytes are only
        known of those that were copied.
    n_elsewhere
        Objects that are not in the old store, and were left alone.
    problems
        Objects that could not be moved, and why: their rows are as they were.
    is_done
        Whether it was done; else nothing was changed.
    """

    n_objects: int = 0
    n_bytes: int = 0
    n_elsewhere: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    is_done: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return asdict(self)


def move_archive(
    vsarch: HasTransactions,
    source: DataStore,
    destination: DataStore,
    *,
    uuids: tuple[UUID, ...] = (),
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Moved:
    """Copy every object of one store to another, and let the rows name the copies.

    Parameters
    ----------
    vsarch
        The metadata database.
    source, destination
        Where the objects are, and where they should be, under the same names.
    uuids
        Move only these sequences; all, those in the trash included, if empty.
    dry_run
        Only count what would be moved.
    progress
        Called after each object with the objects done so far and their number.

    Raises
    ------
    InvalidValueError
        If one store lies within the other.
    """
    for one, other in ((source, destination), (destination, source)):
        if one.base == other.base or one.base.relative_to(other.base) is not None:
            raise InvalidValueError(
                f"{one.base} lies within {other.base}: an archive moves between two "
                "separate stores"
            )
    moved = Moved(is_done=not dry_run)
    with vsarch.transaction() as connection:
        known = list(registered_objects(connection, "", uuids, with_trash=True))
    for number, thing in enumerate(known, 1):
        url = ResourcePath(thing.url, forceDirectory=False)
        relative = url.relative_to(source.base)
        if relative is None:
            moved.n_elsewhere += 1
        elif dry_run:
            moved.n_objects += 1
        else:
            target = destination.base.join(relative, forceDirectory=False)
            _move(vsarch, (source, destination), thing, target, moved)
        progress(number, len(known))
    return moved


def _move(
    vsarch: HasTransactions,
    stores: tuple[DataStore, DataStore],
    thing: RegisteredObject,
    target: ResourcePath,
    moved: Moved,
) -> None:
    source, destination = stores
    try:
        with TemporaryDirectory(prefix="vseqarchive-") as folder:
            is_local = ResourcePath(thing.url).isLocal
            to = None if is_local else Path(folder) / "object"
            path = source.get(thing.url, thing.sha256, to)
            stored = destination.put(path, target)
        _point_to(vsarch, thing, stored)
    except (*EXPECTED_ERRORS, OSError) as error:
        moved.problems[f"{thing.uuid} {thing.file_type}"] = str(error)
        return
    moved.n_objects += 1
    moved.n_bytes += stored.size


def _point_to(
    vsarch: HasTransactions, thing: RegisteredObject, stored: StoredObject
) -> None:
    """Let the row name the copy, unless somebody changed the row meanwhile."""
    with vsarch.transaction() as connection:
        lock_sequence(connection, thing.uuid)
        is_same = set_object_url(
            connection,
            thing.uuid,
            thing.file_type,
            thing.url,
            stored.url.geturl(),
            sha256=thing.sha256 or stored.sha256 or b"",
            size=stored.size,
        )
        if not is_same:
            raise InvalidValueError("its row was changed during the move; run it again")
