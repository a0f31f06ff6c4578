"""Real, user and system time, rows and bytes of the steps of a visit."""

import logging
import resource
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Self

from typing_extensions import override

__all__ = ["TABLE_ROWS_STEP", "StepTiming", "Timer", "Timings"]

TABLE_ROWS_STEP = "{table} rows"
"""Name of the step that keeps rows and bytes of a table in the timings table."""

_KEPT = 4_000  # steps; a visit has some 15, each of its tiles as many
_log = logging.getLogger("timer")


@dataclass(slots=True)
class StepTiming:
    """What one step cost; seconds, children of the process included."""

    step: str
    real_s: float = 0.0
    user_s: float = 0.0
    sys_s: float = 0.0
    n_rows: int | None = None
    n_bytes: int | None = None


def _cpu_s() -> tuple[float, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime


def _now_s() -> tuple[float, float, float]:
    return time.perf_counter(), *_cpu_s()


@dataclass(slots=True)
class Timings:
    """Collects the steps of a run, in the order in which they end, the latest of them.

    Each step is also logged on logger ``timer`` in the original's format,
    ``<name>: real=%.3f user=%.3f sys=%.3f``.
    """

    prefix: str = ""
    steps: deque[StepTiming] = field(default_factory=lambda: deque(maxlen=_KEPT))
    n_ended: int = 0
    """How many steps have ended, those that are no longer kept included."""

    def since(self, n_ended: int) -> tuple[StepTiming, ...]:
        """Return the steps that ended after so many others.

        Parameters
        ----------
        n_ended
            An earlier value of the attribute `n_ended`.
        """
        n_new = min(self.n_ended - n_ended, len(self.steps))
        return tuple(islice(self.steps, len(self.steps) - n_new, None))

    @contextmanager
    def step(self, name: str) -> Iterator[StepTiming]:
        """Time a block; set ``n_rows`` and ``n_bytes`` of what it yields inside.

        Add to ``user_s`` and ``sys_s`` what processes spent that are still running.
        A block that raises is timed too.

        Parameters
        ----------
        name
            What the log and the timings table call the step.
        """
        timing = StepTiming(name)
        real, (user, system) = time.perf_counter(), _cpu_s()
        try:
            yield timing
        finally:
            user_end, system_end = _cpu_s()
            timing.real_s = time.perf_counter() - real
            timing.user_s += user_end - user
            timing.sys_s += system_end - system
            self.steps.append(timing)
            self.n_ended += 1
            _log.info(
                "%s%s: real=%.3f user=%.3f sys=%.3f",
                self.prefix,
                name,
                timing.real_s,
                timing.user_s,
                timing.sys_s,
            )


class Timer:
    """A stop-watch of real, user and system time under the original's interface.

    Time between `start` and `stop` adds up, children of the process included.
    """

    def __init__(self, name: str = "", doPrint: bool = True) -> None:  # noqa: N803
        self._name = name
        self._is_logged = doPrint
        self._spent_s = (0.0, 0.0, 0.0)
        self._started_s: tuple[float, float, float] | None = None

    def start(self) -> Self:
        """Begin to count."""
        self._started_s = _now_s()
        return self

    def stop(self) -> Self:
        """Keep what was counted; without effect if `start` was not called."""
        self._spent_s, self._started_s = self._total_s(), None
        return self

    def dump(self) -> Self:
        """Log the times on logger ``timer``."""
        _log.info("%s", self)
        return self

    def _total_s(self) -> tuple[float, float, float]:
        if self._started_s is None:
            return self._spent_s
        parts = zip(self._spent_s, _now_s(), self._started_s, strict=True)
        real, user, system = (spent + end - begin for spent, end, begin in parts)
        return real, user, system

    @override
    def __str__(self) -> str:
        times = "real={:.3f} user={:.3f} sys={:.3f}".format(*self._total_s())
        return f"{self._name}: {times}" if self._name else times

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.stop()
            if self._is_logged:
                self.dump()
