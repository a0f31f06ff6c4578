"""Collect garbage: what has been in the trash for long, and unreferenced objects."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from lsst.resources import ResourcePath

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.inventory import registered_urls
from archive_assets.metadata.trash import Trashed, children_of, purge, trashed
from archive_assets.objects.datastore import (
    DataStore,
    ObjectNotFoundError,
    OutsideStoreError,
    StoredObject,
)

__all__ = ["Collected", "collect_garbage"]


@dataclass(slots=True)
class Collected:
    """What was removed, or would be.

    Attributes
    ----------
    sequences
        UUIDs from the trash whose rows go, and their objects.
    kept
        UUIDs from the trash that stay, and why.
    orphans
        URLs of objects that no sequence has.
    foreign
        URLs of objects of removed sequences that are outside the store: they stay.
    n_bytes
        Size of what is deleted from the store.
    is_done
        Whether it was done; else nothing was changed.
    """

    sequences: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    n_bytes: int = 0
    is_done: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return asdict(self)


def collect_garbage(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    *,
    trash_days: int = 30,
    orphan_days: int = 7,
    apply: bool = False,
) -> Collected:
    """Permanently delete what no sequence refers to.

    Parameters
    ----------
    vsarch, store
        The two halves of the archive.
    trash_days
        Days in the trash after which a sequence is deleted.
    orphan_days
        Days after which an object that no sequence has goes, by the time when the
        store says that it was written; a younger one may be of an archiving that
        still runs. The date in its place is whatever the archiver chose.
    apply
        Do it; else only say what would be done.

    Notes
    -----
    Rows go before objects: if this is interrupted, the next call finds the objects
    as orphans. The daily ids of removed simulations are not used again.
    """
    done = Collected(is_done=apply)
    with vsarch.transaction() as connection:
        old = trashed(connection, timedelta(days=trash_days))
    going = {
        url
        for sequence in old
        for url in _remove_rows(vsarch, sequence, done, apply=apply)
    }
    with vsarch.transaction() as connection:
        known = {ResourcePath(url).geturl() for url in registered_urls(connection)}
    for url in sorted(going):
        if apply and ResourcePath(url).geturl() in known:
            continue  # another sequence has it, too
        _remove_object(store, url, done, apply=apply)
    gone = {ResourcePath(url).geturl() for url in going}
    before = datetime.now(UTC) - timedelta(days=orphan_days)
    for thing in _orphans(store, known, before):
        if thing.url.geturl() in gone:
            continue
        done.orphans.append(thing.url.geturl())
        done.n_bytes += thing.size
        if apply:
            store.delete(thing.url)
    return done


def _remove_rows(
    vsarch: VisitSequenceArchiveMetadata,
    sequence: Trashed,
    done: Collected,
    *,
    apply: bool,
) -> tuple[str, ...]:
    """Remove the rows of a sequence, and return the URLs of its objects."""
    with vsarch.transaction() as connection:
        if children := children_of(connection, sequence.uuid):
            done.kept[str(sequence.uuid)] = f"it is the parent of {children[0]}"
            return ()
        if apply:
            purge(connection, sequence.uuid)
    done.sequences.append(str(sequence.uuid))
    return sequence.urls


def _remove_object(store: DataStore, url: str, done: Collected, *, apply: bool) -> None:
    try:
        size = store.info(url).size
        relative = ResourcePath(url).relative_to(store.base)
        if relative is None:
            done.foreign.append(url)
            return
        done.n_bytes += size
        if apply:
            store.delete(url)
    except ObjectNotFoundError:
        return  # gone already
    except OutsideStoreError:
        done.foreign.append(url)


def _orphans(
    store: DataStore, known: set[str], before: datetime
) -> Iterator[StoredObject]:
    """Return unreferenced objects that were stored before a time."""
    for listed in (store.list_objects(), store.list_staged()):
        for thing in listed:
            is_old = thing.stored is not None and thing.stored < before
            if is_old and thing.url.geturl() not in known:
                yield thing
