"""One process at a time: threads that hand on a baton at each call of the database."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from protocol.course import Fault

from l1db_pipeline.store.errors import DatabaseUnavailableError

__all__ = ["Actor", "DeadlockError", "Killed", "Scheduler"]


class Killed(BaseException):
    """The process has ended at this call; what it did not commit is gone."""


class DeadlockError(AssertionError):
    """No process can go on."""


class Actor:
    """One process, as the scheduler sees it."""

    def __init__(
        self, number: int, work: Callable[["Actor"], None], scheduler: "Scheduler"
    ) -> None:
        self.number = number
        self.n_calls = 0
        self.has_ended = False
        self.waits_for: Callable[[], bool] | None = None
        """What must be true before it can go on."""
        self.error: BaseException | None = None
        self.turn = threading.Semaphore(0)
        self._work = work
        self._scheduler = scheduler
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.turn.acquire()
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 - told by the scheduler
            self.error = error
        self.has_ended = True
        self._scheduler.baton.release()

    @property
    def can_go_on(self) -> bool:
        return not self.has_ended and (self.waits_for is None or self.waits_for())

    def pause(self, until: Callable[[], bool] | None = None) -> None:
        """Let others go on; return when it is this process's turn again."""
        self.waits_for = until
        self._scheduler.baton.release()
        self.turn.acquire()
        self.waits_for = None

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Make one call of the database, with what goes wrong before or after it."""
        self.n_calls += 1
        self.pause()
        kind = self._scheduler.fault_of(self.number, self.n_calls)
        if kind == "kill":
            raise Killed(name)
        if kind == "before":
            raise DatabaseUnavailableError(f"before {name}", "the connection is lost")
        yield
        if kind == "after":
            raise DatabaseUnavailableError(f"after {name}", "the answer is lost")


class Scheduler:
    """Runs the processes of a course, each until it is another's turn."""

    def __init__(
        self,
        faults: Sequence[Fault],
        turns: Sequence[tuple[int, int]],
        works: Sequence[Callable[[Actor], None]],
    ) -> None:
        self._faults = {(f.actor, f.call): f.kind for f in faults}
        self._turns = list(turns)
        self.baton = threading.Semaphore(0)
        self.actors = [Actor(n, work, self) for n, work in enumerate(works)]

    def fault_of(self, actor: int, call: int) -> str | None:
        """Return what goes wrong there; once, for who tries again starts anew."""
        return self._faults.pop((actor, call), None)

    def run(self) -> None:
        """Run all processes to their ends; raise the first error of one."""
        for actor in self.actors:
            actor.thread.start()
        turns = iter(self._turns)
        left, wanted = next(turns, (0, None))
        now: Actor | None = None
        while True:
            ready = [actor for actor in self.actors if actor.can_go_on]
            if not ready:
                break
            if wanted is not None:
                left -= 1
                if left <= 0:
                    chosen = self.actors[wanted % len(self.actors)]
                    now = chosen if chosen.can_go_on else now
                    left, wanted = next(turns, (0, None))
            if now is None or not now.can_go_on:
                now = ready[0]
            now.turn.release()
            self.baton.acquire()
        waiting = [actor.number for actor in self.actors if not actor.has_ended]
        for actor in self.actors:
            if actor.error is not None:
                raise actor.error
        if waiting:
            raise DeadlockError(f"processes {waiting} wait for each other")
