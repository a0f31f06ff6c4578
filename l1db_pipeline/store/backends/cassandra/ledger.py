"""The ledger: who holds a part of a visit, and which attempts are stored.

A part is claimed, taken over, stored or given up by a conditional statement on its own
partition. An attempt that lost its part can never be stored, so nothing depends on how
long anybody waits.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from l1db_pipeline.errors import VisitConflictError
from l1db_pipeline.store.backends.cassandra.session import (
    CassandraSession,
    NoQuorumError,
)
from l1db_pipeline.store.backends.cassandra.tables import SAVED, Tag, month_of
from l1db_pipeline.store.errors import TooManyTilesError
from l1db_pipeline.store.validate import CheckedVisit

__all__ = [
    "OPEN",
    "STORED",
    "Entry",
    "GiveWayError",
    "Ledger",
    "Places",
    "as_saved",
    "complete_visits",
]

OPEN, STORED, VOID = "open", "stored", "void"
_LOOK_S = 0.05
_MOST_TRIES = 100

_ENTRY = """SELECT state, attempt, content, month, places, new_objects FROM {}ledger
    WHERE visit_id = ? AND tile = ?"""
_CLAIM = """INSERT INTO {}ledger (visit_id, tile, state, attempt, content)
    VALUES (?, ?, 'open', ?, ?) IF NOT EXISTS"""
_TAKE = """UPDATE {}ledger SET state = 'open', attempt = ?, content = ?
    WHERE visit_id = ? AND tile = ? IF attempt = ? AND state = ?"""
_STORE = """UPDATE {}ledger SET state = 'stored', month = ?, places = ?,
    new_objects = ? WHERE visit_id = ? AND tile = ? IF attempt = ? AND state = 'open'"""
_GIVE_UP = """UPDATE {}ledger SET state = 'void' WHERE visit_id = ? AND tile = ?
    IF attempt = ? AND state = 'open'"""
_PART = """INSERT INTO {}parts (visit_id, tile, attempt, time, n_tiles)
    VALUES (?, ?, ?, ?, ?)"""
_PARTS = """SELECT tile, attempt, time, n_tiles, is_stored FROM {}parts
    WHERE visit_id = ?"""
_JOURNAL = """INSERT INTO {}journal (month, time, visit_id, tile, attempt, n_tiles,
    versions, sources, forced, last_object, last_source)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PART_STORED = """UPDATE {}parts SET is_stored = true
    WHERE visit_id = ? AND tile = ? AND attempt = ?"""
_JOURNAL_STORED = """UPDATE {}journal SET is_stored = true, new_objects = ?
    WHERE month = ? AND time = ? AND visit_id = ? AND tile = ? AND attempt = ?"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the chunks of a stored attempt are."""

    month: int
    numbers: frozenset[int]
    """Pixels of tables, see `place_number`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger says of a part."""

    state: str
    attempt: uuid.UUID
    content: str
    places: Places
    new_objects: int


class GiveWayError(Exception):
    """Another attempt, which goes first, may store what this one cannot beside it."""

    def __init__(self, other: Tag) -> None:
        super().__init__(other)
        self.other = other


class Ledger:
    """Claims and decides; remembers which attempts are stored, which is for ever."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._stored: dict[Tag, int] = {}
        self._dead: set[Tag] = set()

    def forget(self) -> None:
        """Forget what is known, after the tables were emptied."""
        self._stored.clear()
        self._dead.clear()

    # --- one part -------------------------------------------------------------

    def entry(self, visit_id: int, tile: str) -> Entry | None:
        """Return what holds of a part, after whatever is being decided."""
        rows = self._session.run(_ENTRY, visit_id, tile, is_serial=True)
        return _entry_of(rows[0]) if rows else None

    def claim(self, visit: CheckedVisit) -> Tag | None:
        """Claim a part for an attempt of ours; `None` if it is stored like this.

        Raises
        ------
        VisitConflictError
            If it is stored with other content.
        """
        key, content = visit.key, content_of(visit)
        if self._is_stored_like(key.visit_id, key.tile, content):
            return None
        tag = Tag(key.visit_id, key.tile, uuid.uuid4())
        # listed first: whatever is claimed can be found
        self._announce(tag, visit)
        held_by, since = None, 0.0
        for _ in range(_MOST_TRIES * 10):
            if self._session.swap(_CLAIM, *tag, content):
                return tag
            found = self.entry(*tag[:2])
            if found is None:
                continue
            if found.attempt == tag.attempt and found.state == OPEN:
                return tag
            if self._is_stored_like(key.visit_id, key.tile, content, found):
                return None
            if found.attempt != held_by:
                held_by, since = found.attempt, time.monotonic()
            is_held = found.state == OPEN
            if is_held and time.monotonic() < since + self._session.place.lease_s:
                time.sleep(_LOOK_S)
                continue
            self._session.swap(
                _TAKE, tag.attempt, content, *tag[:2], found.attempt, found.state
            )
        raise self._undecided(f"visit {key.visit_id} cannot be claimed")

    def _is_stored_like(
        self, visit_id: int, tile: str, content: str, found: Entry | None = None
    ) -> bool:
        found = self.entry(visit_id, tile) if found is None else found
        if found is None or found.state != STORED:
            return False
        if found.content != content:
            shown = "" if tile == SAVED else tile
            raise VisitConflictError(visit_id, shown, found.content, content)
        return True

    def _announce(self, tag: Tag, visit: CheckedVisit) -> None:
        at = int(visit.time.astype(np.int64))
        n_tiles = visit.key.n_tiles
        last = [
            int(rows[name].max()) if len(rows) else 0
            for rows, name in (
                (visit.objects, "diaObjectId"), (visit.sources, "diaSourceId")
            )
        ]  # fmt: skip
        counts = (len(visit.objects), len(visit.sources), len(visit.forced))
        self._session.many(
            [
                (_PART, (*tag, at, n_tiles)),
                (
                    _JOURNAL,
                    (month_of(visit.time), at, *tag, n_tiles, *counts, *last),
                ),
            ]
        )

    def check_others(self, tag: Tag, visit: CheckedVisit) -> None:
        """Compare with the other parts of the visit; the claim is made already.

        Raises
        ------
        VisitConflictError
            If another part is stored with another time or number of tiles.
        TooManyTilesError
            If all its tiles are stored already.
        GiveWayError
            If another part, which goes first, may be about to be.
        """
        key, at = visit.key, int(visit.time.astype(np.int64))
        others = [
            (Tag(key.visit_id, tile, attempt), when, n_tiles)
            for tile, attempt, when, n_tiles, _ in self._session.run(
                _PARTS, key.visit_id
            )
            if tile != tag.tile
        ]
        ours = f"{visit.time} {key.n_tiles}"
        for other, when, n_tiles in others:
            agrees = when == at and (n_tiles == key.n_tiles or SAVED in {
                tag.tile, other.tile})  # fmt: skip
            if not agrees and self.is_stored_rival(other, tag):
                theirs = f"{np.datetime64(when, 'us')} {n_tiles}"
                shown = "" if other.tile == SAVED else other.tile
                raise VisitConflictError(key.visit_id, shown, theirs, ours)
        tiles = {other.tile for other, _, _ in others} - {SAVED}
        if not 0 < key.n_tiles <= len(tiles) or tag.tile == SAVED:
            return
        stored = {
            other.tile
            for other, _, _ in others
            if other.tile != SAVED and self.is_stored_rival(other, tag)
        }
        if len(stored) >= key.n_tiles:
            raise TooManyTilesError(
                f"visit {key.visit_id} tile {key.tile!r}",
                f"with it the visit has {len(stored) + 1} tiles, {key.n_tiles} were "
                "announced",
                "divide the visit as its first tile was divided, or use another "
                "visit id",
            )

    def is_stored_rival(self, other: Tag, own: Tag) -> bool:
        """Tell whether another attempt is stored; wait if that is being decided.

        Of two that are open and see each other the later one, by visit and tile,
        gives way: so neither waits for the other.

        Raises
        ------
        GiveWayError
            If this one has to.
        """
        found = self.entry(*other[:2])
        if found is None or found.attempt != other.attempt or found.state == VOID:
            return False
        if found.state == STORED:
            return True
        if other[:2] < own[:2]:
            raise GiveWayError(other)
        return self.wait_for(other)

    def wait_for(self, other: Tag) -> bool:
        """Wait until an attempt is stored (true) or never will be.

        One that takes longer than a lease is made to fail.
        """
        since = time.monotonic()
        for _ in range(_MOST_TRIES * 100):
            found = self.entry(*other[:2])
            if found is None or found.attempt != other.attempt:
                return False
            if found.state != OPEN:
                return found.state == STORED
            if time.monotonic() >= since + self._session.place.lease_s:
                self.give_up(other)
            else:
                time.sleep(_LOOK_S)
        raise self._undecided(f"visit {other.visit_id} is not decided")

    def give_up(self, tag: Tag) -> bool:
        """Let an attempt never be stored; false if it is, or is not open."""
        if self._session.swap(_GIVE_UP, *tag):
            return True
        found = self.entry(*tag[:2])
        return (
            found is not None and found.attempt == tag.attempt and found.state == VOID
        )

    def store(
        self, tag: Tag, visit: CheckedVisit, places: Iterable[int], n_new: int
    ) -> bool:
        """Make an attempt the stored one; false if it was taken over."""
        month = month_of(visit.time)
        packed = np.array(sorted(places), dtype="<i8").tobytes()
        for _ in range(_MOST_TRIES):
            if self._session.swap(_STORE, month, packed, n_new, *tag):
                break
            found = self.entry(*tag[:2])
            if found is None or found.attempt != tag.attempt or found.state == VOID:
                return False
            if found.state == STORED:
                break
        else:
            raise self._undecided(f"visit {tag.visit_id} may be stored or not")
        self._remember(tag)
        return True

    def note_stored(self, tag: Tag, month: int, at: int, n_new: int) -> None:
        """Tell the lists that an attempt is stored: who reads them need not ask."""
        self._session.many(
            [(_PART_STORED, tag), (_JOURNAL_STORED, (n_new, month, at, *tag))]
        )

    def _undecided(self, problem: str) -> NoQuorumError:
        return NoQuorumError(str(self._session.place), problem)

    # --- many attempts --------------------------------------------------------

    def _remember(self, tag: Tag) -> None:
        self._stored.setdefault(tag, len(self._stored))

    @property
    def n_known(self) -> int:
        """How many attempts are known to be stored."""
        return len(self._stored)

    def newest(self, tags: Collection[Tag]) -> list[Tag]:
        """Return the known attempt, of some, that was learnt of last."""
        return sorted(tags, key=self._stored.__getitem__)[-1:]

    def was_known(self, tag: Tag, n_known: int) -> bool:
        """Tell whether an attempt was among the first so many that were known."""
        return self._stored.get(tag, n_known) < n_known

    def stored_among(self, tags: Collection[Tag]) -> dict[Tag, Places]:
        """Ask which attempts are stored, and where their chunks are."""
        asked = [tag for tag in tags if tag not in self._dead]
        found = self._session.many([(_ENTRY, tag[:2]) for tag in asked])
        stored = {}
        for tag, rows in zip(asked, found, strict=True):
            entry = _entry_of(rows[0]) if rows else None
            if entry is None:
                continue
            if entry.attempt == tag.attempt and entry.state == STORED:
                stored[tag] = entry.places
                self._remember(tag)
            elif entry.attempt != tag.attempt or entry.state == VOID:
                self._dead.add(tag)
        return stored

    def is_dead(self, tag: Tag) -> bool:
        """Tell whether an attempt can never be stored, as far as was asked."""
        return tag in self._dead

    def stored_tags(self, tags: Collection[Tag]) -> set[Tag]:
        """Return those that are stored; asks only about those that are not known."""
        unknown = [tag for tag in tags if tag not in self._stored]
        self.stored_among(unknown)
        return {tag for tag in tags if tag in self._stored}

    def tiles(self, visit_id: int) -> dict[Tag, tuple[int, int]]:
        """Return time and number of tiles of each stored part of a visit."""
        rows = self._session.run(_PARTS, visit_id)
        parts = {Tag(visit_id, row[0], row[1]): (row[2], row[3]) for row in rows}
        noted = {Tag(visit_id, row[0], row[1]) for row in rows if row[4]}
        stored = noted | self.stored_tags(parts.keys() - noted)
        return {tag: part for tag, part in parts.items() if tag in stored}


def complete_visits(parts: Iterable[tuple[int, str, int]]) -> set[int]:
    """Return the visits of which all tiles are stored, or that were saved.

    ``parts`` are visit, tile and number of tiles of stored parts.
    """
    tiles: dict[int, set[str]] = defaultdict(set)
    announced: dict[int, int] = {}
    saved = set()
    for visit_id, tile, n_tiles in parts:
        if tile == SAVED:
            saved.add(visit_id)
        else:
            tiles[visit_id].add(tile)
            announced[visit_id] = n_tiles
    full = {v for v, held in tiles.items() if 0 < announced[v] <= len(held)}
    return saved | full


def as_saved(visit: CheckedVisit) -> CheckedVisit:
    """Return the entry that completes a visit whatever its tiles."""
    return replace(visit, key=replace(visit.key, tile=SAVED))


def content_of(visit: CheckedVisit) -> str:
    """Return what tells one content of a part from another."""
    return " ".join(map(str, (visit.time, visit.key.n_tiles, *visit.digests)))


def _entry_of(row: tuple[str, uuid.UUID, str, int | None, bytes | None, int | None],
) -> Entry:  # fmt: skip
    state, attempt, content, month, places, n_new = row
    numbers = np.frombuffer(places or b"", dtype="<i8").tolist()
    return Entry(
        state, attempt, content, Places(month or 0, frozenset(numbers)), n_new or 0
    )
