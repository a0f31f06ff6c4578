"""What is asked of a simulation, what comes back, and who can do it.

The dataclasses hold plain values only: they are read from YAML, written to JSON for the
process that does the work, and recorded with the visits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID

from pipeline_runtime.urls import check_url

__all__ = [
    "SURVEY_START_DAY_OBS",
    "AnomalousOverhead",
    "BandSwaps",
    "BuiltinScheduler",
    "Limits",
    "ObservatoryOptions",
    "ParentVisits",
    "Progress",
    "SchedulerSource",
    "ScriptFile",
    "ScriptInRepository",
    "SimulationDriver",
    "SimulationRequest",
    "SimulationResult",
    "SiteModel",
    "Telescope",
    "Variant",
]

SURVEY_START_DAY_OBS = date(2025, 6, 20)  # first night of Rubin's completed visits
_STRICT = {"extra": "forbid"}  # pydantic reads it when a file is checked


class Telescope(StrEnum):
    """The telescopes whose nights are simulated."""

    SIMONYI = "simonyi"
    AUXTEL = "auxtel"

    @property
    def rotation_name(self) -> str:
        """What rubin_scheduler calls the telescope's camera rotation."""
        return "rubin" if self is Telescope.SIMONYI else "auxtel"


class SiteModel(StrEnum):
    """Where clouds or downtimes come from."""

    IDEAL = "ideal"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalousOverhead:
    """Random time added to each visit's overhead; one of the two scales is given.

    Attributes
    ----------
    seed
        Seed of the random numbers.
    fraction
        Standard deviation of the added time as a fraction of the slew, at most 1.
    seconds
        Scale of the half-normal distribution of the added time, s.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    seed: int
    fraction: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.seconds is None):
            raise ValueError("give the scale either as fraction or as seconds")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(
                f"fraction is a fraction of the slew time, above 0 and at most 1, "
                f"not {self.fraction:g}: a scale in seconds is given as seconds"
            )
        if self.seconds is not None and not 0 < self.seconds <= 600:
            raise ValueError(
                f"seconds must be above 0 and at most 600, not {self.seconds:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservatoryOptions:
    """How the model observatory behaves.

    Attributes
    ----------
    seeing_arcsec
        Constant FWHM at zenith and 500 nm, arcsec; None reads the site's seeing model.
    clouds, downtimes
        None at all (ideal), or from the site's models.
    closed_mjd
        Intervals (begin, end), MJD UTC, in which nothing is observed besides the
        downtimes.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    seeing_arcsec: float | None = 0.6
    clouds: SiteModel = SiteModel.IDEAL
    downtimes: SiteModel = SiteModel.IDEAL
    closed_mjd: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.seeing_arcsec is not None and not 0.1 <= self.seeing_arcsec <= 5:
            raise ValueError(
                f"seeing_arcsec must be 0.1 to 5, not {self.seeing_arcsec:g}"
            )
        for begin, end in self.closed_mjd:
            if not begin < end:
                raise ValueError(f"closed_mjd has an interval from {begin} to {end}")

    @property
    def site_models(self) -> frozenset[str]:
        """Which site models the observatory reads, by the names of `check`."""
        chosen = {
            "clouds": self.clouds is SiteModel.MODEL,
            "downtimes": self.downtimes is SiteModel.MODEL,
            "seeing": self.seeing_arcsec is None,
        }
        return frozenset(name for name, is_read in chosen.items() if is_read)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSwaps:
    """Which bands are in the carousel.

    Attributes
    ----------
    moon_illumination
        Percent of the Moon, at sunset, above which y is mounted, else u.
    mounted
        Days and the bands that are mounted from then (12 h TAI) until the next one, for
        nights whose bands are known: as in rubin_scheduler's DateSwapBandScheduler,
        which knows those of 2025-06-20 to 2025-08-12 itself.
    until
        Day from which the Moon decides; needed with ``mounted``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    moon_illumination: float = 10.0
    mounted: tuple[tuple[date, tuple[str, ...]], ...] = ()
    until: date | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.moon_illumination <= 100:
            raise ValueError(
                "moon_illumination is a percentage, 0 to 100, "
                f"not {self.moon_illumination:g}"
            )
        for day, bands in self.mounted:
            if not 1 <= len(set(bands) & set("ugrizy")) == len(bands) <= 5:
                raise ValueError(
                    f"mounted of {day} must be one to five of u g r i z y, "
                    f"not {' '.join(bands) or 'none'}"
                )
        if bool(self.mounted) != (self.until is not None):
            raise ValueError("mounted and until are given together")
        days = [day for day, _ in self.mounted] + [self.until or date.max]
        if days != sorted(set(days)):
            raise ValueError("the days of mounted, then until, must be in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the ways in which a night is simulated.

    Attributes
    ----------
    name
        Short name, a word of letters, digits and ``_``.
    label
        What people read.
    tags
        What programs search for.
    rewards
        Keep the rewards of every survey, for later study; several times slower.
    delay_minutes
        How long after nautical twilight observing begins.
    statistics
        Columns whose nightly statistics are recorded.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: str
    label: str
    tags: tuple[str, ...] = ()
    rewards: bool = False
    delay_minutes: float = 0.0
    anomalous_overhead: AnomalousOverhead | None = None
    observatory: ObservatoryOptions = field(default_factory=ObservatoryOptions)
    bands: BandSwaps = field(default_factory=BandSwaps)
    statistics: tuple[str, ...] = ("azimuth", "altitude")

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.name.isascii():
            raise ValueError(f"name {self.name!r} is not a word of letters, digits, _")
        if not self.label.strip():
            raise ValueError(f"variant {self.name} has no label")
        if not 0 <= self.delay_minutes <= 1440:
            raise ValueError(
                f"delay_minutes must be 0 to 1440, not {self.delay_minutes:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinScheduler:
    """The example of pairs and greedy visits that comes with rubin_scheduler."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    nside: int = 32

    def __post_init__(self) -> None:
        # rubin_scheduler 4.6 fails when a field of view holds no pixel's centre
        if self.nside not in {32, 64, 128}:
            raise ValueError(f"nside must be 32, 64 or 128, not {self.nside}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFile:
    """A configuration script on this machine."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptInRepository:
    """A configuration script in a git repository, at a branch, tag or commit."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    repository: str
    script: str
    ref: str = "main"

    def __post_init__(self) -> None:
        check_url(self.repository, "the repository")


SchedulerSource = BuiltinScheduler | ScriptFile | ScriptInRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentVisits:
    """Completed visits with which the scheduler starts.

    Attributes
    ----------
    path
        Opsim file or ``visits.h5``; with opsim's or consdb's column names.
    telescope
        Which telescope made them.
    last_day_obs
        Last night that they cover.
    visitseq_uuid
        The archived sequence, if they are archived.
    """

    path: Path
    telescope: Telescope
    last_day_obs: date
    visitseq_uuid: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the process of one simulation may use."""

    wall_s: float = 2 * 3600.0
    memory_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationRequest:
    """One variant of some nights.

    Attributes
    ----------
    first_day_obs, n_nights
        The nights.
    site_data
        Folder of site data (``$RUBIN_SIM_DATA_DIR``).
    work_folder
        Where the result is written, in a new folder of its own.
    seed
        Seed of the sky tessellation; 42 is rubin_scheduler's own. The anomalous
        overhead has its own seed.
    survey_start_day_obs
        From when nights are counted.
    """

    first_day_obs: date
    n_nights: int
    telescope: Telescope
    variant: Variant
    site_data: Path
    work_folder: Path
    scheduler: SchedulerSource = field(default_factory=BuiltinScheduler)
    parent: ParentVisits | None = None
    seed: int = 42
    survey_start_day_obs: date = SURVEY_START_DAY_OBS
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running simulation is.

    Attributes
    ----------
    n_visits
        Visits so far.
    mjd
        Simulated time, MJD UTC.
    fraction
        Part of the simulated time span that is done, 0 to 1.
    """

    n_visits: int
    mjd: float
    fraction: float

    @property
    def line(self) -> str:
        """What people read of it."""
        return f"{self.n_visits} visits, MJD {self.mjd:.4f}, {self.fraction:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """Where the visits are, and how they came about.

    Attributes
    ----------
    folder
        Folder of this run alone; the caller deletes it.
    opsim_path
        SQLite file with the table ``observations``; it has no rows if no visit was
        possible.
    rewards_path
        ``rewards.h5``, if rewards were asked for and there are visits.
    provenance
        Values that JSON can hold.
    """

    folder: Path
    opsim_path: Path
    rewards_path: Path | None
    log_path: Path
    n_visits: int
    provenance: dict[str, Any]  # JSON
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether no visit was possible."""
        return self.n_visits == 0


class SimulationDriver(Protocol):
    """Something that makes a visits table of a request."""

    def simulate(
        self,
        request: SimulationRequest,
        *,
        on_progress: Callable[[Progress], None] = ...,
        is_cancelled: Callable[[], bool] = ...,
    ) -> SimulationResult:
        """Simulate, or raise and leave nothing.

        Parameters
        ----------
        on_progress
            Called about once a second.
        is_cancelled
            Asked a few times a second; the simulation ends when it says True.

        Raises
        ------
        ArchiveError
            With the reason; the work folder is as before.
        """
        ...
