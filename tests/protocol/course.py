"""A course: what some processes do to one database, in which order, what goes wrong.

It is plain values, so that a course can be made from a number, printed and shrunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeVar

__all__ = ["Course", "Fault", "Unit", "random_course", "smaller"]

N_PLACES = 5
_Item = TypeVar("_Item")
_UPKEEP = ("compact", "compact", "rebuild", "merge", "verify")

FaultKind = Literal["before", "after", "kill"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A visit, or one of its two parts."""

    visit: int
    part: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in a process, at which of its calls of the database."""

    actor: int
    call: int
    kind: FaultKind
    """An error before the call, an error after it (its answer is lost), or the end of
    the process."""


@dataclass(frozen=True, slots=True)
class Course:
    """Processes, the first of them writers, and when which of them goes on."""

    seen: tuple[tuple[int, ...], ...]
    """The places in which each visit has a source."""
    writers: tuple[tuple[Unit, ...], ...]
    n_reads: int
    upkeep: tuple[str, ...]
    faults: tuple[Fault, ...]
    turns: tuple[tuple[int, int], ...]
    """After so many calls, it is the turn of that process (if it can go on)."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """Every unit of every writer."""
        return tuple(unit for units in self.writers for unit in units)


def random_course(seed: int, *, calls_a_unit: int) -> Course:
    """Return a course that depends on its number alone.

    ``calls_a_unit`` is about how many calls of the database a unit takes, so that the
    turns and faults of a course lie within it.
    """
    random = Random(seed)
    seen = tuple(
        tuple(sorted(random.sample(range(N_PLACES), random.randint(1, 3))))
        for _ in range(random.randint(2, 4))
    )
    units = []
    for visit in range(len(seen)):
        is_divided = random.random() < 0.4
        units += [Unit(visit, part) for part in ((0, 1) if is_divided else (None,))]
    random.shuffle(units)
    n_writers = random.randint(2, min(4, len(units)))
    writers = tuple(tuple(units[number::n_writers]) for number in range(n_writers))
    n_reads = random.choice((0, 0, 1, 2))
    upkeep = tuple(random.sample(_UPKEEP, random.choice((0, 0, 1, 2))))
    n_actors = n_writers + 2
    n_calls = calls_a_unit * len(units)
    kinds: tuple[FaultKind, ...] = ("before", "after", "kill")
    faults = tuple(
        Fault(
            random.randrange(n_actors),
            random.randint(1, 2 * calls_a_unit),
            random.choice(kinds),
        )
        for _ in range(random.choice((0, 0, 1, 2)))
    )
    n_turns = random.randint(0, 12)
    turns = tuple(
        (random.randint(1, max(2, n_calls // 6)), random.randrange(n_actors))
        for _ in range(n_turns)
    )
    return Course(seen, writers, n_reads, upkeep, faults, turns)


def smaller(course: Course) -> Iterator[Course]:
    """Yield courses with a little less in them, the greatest steps first."""
    for place, units in enumerate(course.writers):
        for left in _without_one(units):
            writers = (*course.writers[:place], left, *course.writers[place + 1 :])
            yield replace(course, writers=writers)
    yield from (replace(course, faults=left) for left in _without_one(course.faults))
    yield from (replace(course, upkeep=left) for left in _without_one(course.upkeep))
    yield from (replace(course, turns=left) for left in _without_one(course.turns))
    if course.n_reads:
        yield replace(course, n_reads=course.n_reads - 1)
    for visit, places in enumerate(course.seen):
        for left_over in _without_one(places) if len(places) > 1 else ():
            seen = (*course.seen[:visit], left_over, *course.seen[visit + 1 :])
            yield replace(course, seen=seen)


def _without_one(items: tuple[_Item, ...]) -> Iterator[tuple[_Item, ...]]:
    for place in range(len(items)):
        yield (*items[:place], *items[place + 1 :])
