"""What can go wrong with a simulation, so that callers can tell one from another."""

from pathlib import Path

from typing_extensions import override

from archive_assets.errors import ArchiveError

__all__ = [
    "ParentVisitsError",
    "SchedulerConfigError",
    "SimulationCancelledError",
    "SimulationError",
    "SimulationFailedError",
    "SimulationKilledError",
    "SimulationMemoryError",
    "SimulationRangeError",
    "SimulationTimeoutError",
    "SnapshotError",
    "UnknownVariantError",
    "VariantError",
    "WorkFolderError",
]


class SimulationError(ArchiveError):
    """Base of the errors of simulations."""


class SimulationRangeError(SimulationError, ValueError):
    """Nights, a delay or a number that cannot be simulated."""


class VariantError(SimulationError, ValueError):
    """A variant or telescope that is not known, or a variants file that is wrong."""


class UnknownVariantError(VariantError):
    """A variant that the variants file does not have."""


class SchedulerConfigError(SimulationError):
    """A scheduler's configuration script that may not or cannot be used."""


class ParentVisitsError(SimulationError, ValueError):
    """Completed visits that cannot be the start of this simulation."""


class SnapshotError(SimulationError):
    """A pickled scheduler or observatory that may not or cannot be loaded."""


class WorkFolderError(SimulationError):
    """A work folder that cannot be used."""


class SimulationFailedError(SimulationError):
    """The program of a simulation ended with an error.

    Attributes
    ----------
    reason
        Its last words.
    log_tail
        The end of what it printed.
    """

    def __init__(self, reason: str, log_tail: str = "") -> None:
        super().__init__(reason, log_tail)  # kept as args so that it pickles
        self.reason = reason
        self.log_tail = log_tail

    @override
    def __str__(self) -> str:
        log = f"; the end of its log:\n{self.log_tail}" if self.log_tail else ""
        return f"the simulation failed: {self.reason}{log}"


class SimulationKilledError(SimulationFailedError):
    """The program of a simulation was killed by a signal of someone else."""


class SimulationMemoryError(SimulationFailedError):
    """A simulation used more memory than its limit."""


class SimulationTimeoutError(SimulationFailedError):
    """A simulation took longer than its limit."""


class SimulationCancelledError(SimulationError):
    """A simulation was stopped because its caller asked for it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    @override
    def __str__(self) -> str:
        return f"the simulation was cancelled; nothing is left in {self.folder}"
