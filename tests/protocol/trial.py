"""Courses on a backend by its name: played, judged, made as small as can be."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from protocol.course import Course, random_course, smaller
from protocol.databases import World, memory_world, sqlite_world
from protocol.play import CONFIG, play

from l1db_pipeline.schema.config import History, L1dbConfig, ObjectIndex
from l1db_pipeline.store.backends.memory import MemoryL1Store
from l1db_pipeline.store.open import open_store

__all__ = ["BACKENDS", "broken_promise", "course_of", "digest_of", "smallest"]

BACKENDS = {"memory": 7, "sqlite-packed": 60, "sqlite-rows": 60}
"""About how many calls of the database a unit takes in each."""
_SHARED_MEMORY = Path("/dev/shm")


@cache
def _memory() -> MemoryL1Store:
    return MemoryL1Store(CONFIG)


@cache
def _template(history: History) -> bytes:
    """Return a SQLite file that has its tables."""
    with TemporaryDirectory() as folder:
        config = _sqlite_config(Path(folder), history)
        with open_store(config) as store:
            store.create_schema()
            store.put_setting("run.match", "position")
            store.put_setting("run.match_radius_arcsec", "1.0")
        return Path(folder, "l1.db").read_bytes()


def _sqlite_config(folder: Path, history: History) -> L1dbConfig:
    return replace(
        CONFIG,
        url=f"sqlite:///{folder}/l1.db",
        dia_object_index=ObjectIndex.LAST_OBJECT_TABLE,
        history=history,
        history_pixel_level=7,
    )


@contextmanager
def _world(backend: str) -> Iterator[World]:
    if backend == "memory":
        yield memory_world(_memory())
        return
    history = History(backend.removeprefix("sqlite-"))
    place = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with TemporaryDirectory(dir=place) as folder:
        Path(folder, "l1.db").write_bytes(_template(history))
        yield sqlite_world(_sqlite_config(Path(folder), history))


def course_of(backend: str, seed: int) -> Course:
    """Return the course of a number, as long as the backend's units are."""
    return random_course(seed, calls_a_unit=BACKENDS[backend])


def broken_promise(backend: str, course: Course) -> str | None:
    """Play a course; return how the store failed, `None` if it kept its promises."""
    try:
        with _world(backend) as world:
            play(course, world)
    except Exception as error:  # noqa: BLE001 - whatever comes out is a failure
        return f"{type(error).__name__}: {error}"
    return None


def digest_of(backend: str, course: Course) -> Mapping[str, str]:
    """Play a course; return the digest of what is stored."""
    with _world(backend) as world:
        play(course, world)
        with closing(world.connect(None)) as store:
            return store.science_digest()


def smallest(backend: str, course: Course) -> Course:
    """Return a course that fails, too, and no smaller one of which does."""
    for less in smaller(course):
        if broken_promise(backend, less) is not None:
            return smallest(backend, less)
    return course
