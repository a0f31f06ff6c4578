"""Put an object in a store so that it can be undone until all else is done."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from lsst.resources import ResourcePath

from archive_assets.errors import ArchiveError
from archive_assets.objects.datastore import STAGED_PREFIX, DataStore, StoredObject
from archive_assets.objects.transfer import publish, remove_quietly, store_errors

__all__ = ["Put", "undoable_put"]


class Put(Protocol):
    """Stores a local file at a place, whatever is there."""

    def __call__(self, source: Path, place: ResourcePath) -> StoredObject:
        """Return what is stored now."""
        ...


@contextmanager
def undoable_put(store: DataStore) -> Iterator[Put]:
    """Give a function that stores files; if the body fails, all is as before.

    What was in the place is kept beside it, as something staged, until the body has
    ended. So even if the process dies, the old content is still there.
    """
    done: list[tuple[ResourcePath, ResourcePath | None]] = []

    def put(source: Path, place: ResourcePath) -> StoredObject:
        kept = None
        if store.exists(place):
            name = f"{STAGED_PREFIX}{secrets.token_hex(8)}-{place.basename()}"
            kept = place.updatedFile(name)
            publish(place, kept, replace=False)
        done.append((place, kept))
        return store.put(source, place, replace=True)

    try:
        yield put
    except BaseException:
        for place, kept in reversed(done):
            _undo(place, kept)
        raise
    for _, kept in done:
        _forget(kept)


def _undo(place: ResourcePath, kept: ResourcePath | None) -> None:
    # what resists is left to verify and gc: the error that led here matters more
    with suppress(ArchiveError), store_errors(place):
        if kept is None:
            remove_quietly(place)
        else:
            publish(kept, place, replace=True)
            _forget(kept)


def _forget(kept: ResourcePath | None) -> None:
    if kept is not None:
        with suppress(ArchiveError), store_errors(kept):
            remove_quietly(kept)
