"""Which files the scheduler reads from its site data, and what marks synthetic ones."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Self

from archive_assets.simulation.site_data.errors import SiteDataError
from pipeline_runtime.documents import parse_json, read_file
from pipeline_runtime.environment import text_of

__all__ = [
    "ALMANAC_FILE",
    "EXTRA_FILES",
    "MARKER_FILE",
    "MODEL_FILES",
    "PLANETS_FILE",
    "SKY_FOLDER",
    "SUN_MOON_FILE",
    "SkyFile",
    "SyntheticMarker",
    "day_obs_mjd",
    "is_synthetic",
    "mjd_day_obs",
    "site_data_folder",
    "sky_files",
]

MARKER_FILE = "SYNTHETIC.json"
ALMANAC_FILE = "site_models/sunsets.npz"
SUN_MOON_FILE = "site_models/sun_moon.npz"
PLANETS_FILE = "site_models/planet_locations.npz"
SKY_FOLDER = "skybrightness_pre"

# read whatever the night: rubin_scheduler 4.6 opens each of them
EXTRA_FILES = (
    "site_models/icover.3.5292.23.0.txt",
    "skybrightness_pre/dark_maps.npz",
    "scheduler/dust_maps/dust_nside_32.npz",
    "scheduler/EWS.SGC.Mainland.ROI.2022.RADEC.txt",
    "utils/fov_map.npz",
    "versions.txt",
)

# read only by the observatory options of that name; never synthesized
MODEL_FILES = {
    "clouds": ("site_models/clouds_ctio_1975_2022.db",),
    "downtimes": ("site_models/scheduled_downtime.db",),
    "seeing": ("site_models/simsee_pachon_58777_13.db",),
}

_MJD_EPOCH = date(1858, 11, 17)


def day_obs_mjd(day_obs: date) -> float:
    """Return the MJD (UTC) at which a day_obs begins: its noon in UTC."""
    return (day_obs - _MJD_EPOCH).days + 0.5


def mjd_day_obs(mjd: float) -> date:
    """Return the day_obs (date at UTC-12) of an MJD (UTC)."""
    return _MJD_EPOCH + timedelta(days=int((mjd - 0.5) // 1))


def site_data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that rubin_scheduler reads: see its ``get_data_dir``."""
    if chosen := text_of("RUBIN_SIM_DATA_DIR", environ):
        return Path(chosen).expanduser()
    return Path.home() / "rubin_sim_data"


@dataclass(frozen=True, slots=True, order=True)
class SkyFile:
    """A file of sky brightness maps and the MJD range that its name promises."""

    mjd_left: float
    mjd_right: float
    path: Path

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Read the range from a name as ``<left>_<right>.h5``; None if it has none."""
        try:
            left, right = (float(part) for part in path.stem.split("_"))
        except ValueError:
            return None
        return cls(left, right, path)

    @staticmethod
    def name(day_obs: date) -> str:
        """Return the name of the file of one night, from noon to noon UTC."""
        noon = day_obs_mjd(day_obs)
        return f"{noon:.1f}_{noon + 1:.1f}.h5"


def sky_files(folder: Path) -> list[SkyFile]:
    """Return the sky brightness files of a site data folder, in order of time.

    Raises
    ------
    SiteDataError
        If a file there has a name that rubin_scheduler would stumble over.
    """
    found = []
    for path in sorted((folder / SKY_FOLDER).glob("*.h5")):
        sky = SkyFile.parse(path)
        if sky is None:
            raise SiteDataError(
                folder,
                [f"{SKY_FOLDER}/{path.name} is not named <first MJD>_<last MJD>.h5"],
                "Move that file elsewhere",
            )
        found.append(sky)
    return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticMarker:
    """What the marker file of a synthesized folder says."""

    survey_start_day_obs: date
    first_almanac_day_obs: date
    last_almanac_day_obs: date
    step_minutes: float
    nights: tuple[date, ...]
    format: int = 1

    def write(self, folder: Path) -> None:
        """Write the marker; an older one is replaced in one step."""
        text = json.dumps(
            {"synthetic": True, **asdict(self)}, default=str, indent=1, sort_keys=True
        )
        fresh = folder / f".{MARKER_FILE}.new"
        fresh.write_text(text + "\n")
        fresh.replace(folder / MARKER_FILE)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the marker of a folder; None if its site data are not synthetic.

        Raises
        ------
        SiteDataError
            If there is a marker that cannot be read.
        """
        try:
            text = read_file(folder / MARKER_FILE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            found = parse_json(text, MARKER_FILE)
            return cls(
                survey_start_day_obs=date.fromisoformat(found["survey_start_day_obs"]),
                first_almanac_day_obs=date.fromisoformat(
                    found["first_almanac_day_obs"]
                ),
                last_almanac_day_obs=date.fromisoformat(found["last_almanac_day_obs"]),
                step_minutes=float(found["step_minutes"]),
                nights=tuple(date.fromisoformat(night) for night in found["nights"]),
                format=int(found["format"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SiteDataError(
                folder,
                [f"{MARKER_FILE} is damaged ({error!r})"],
                "Delete the folder and synthesize it again",
            ) from error


def is_synthetic(folder: Path) -> bool:
    """Tell whether the site data of a folder were synthesized by this program."""
    return (folder / MARKER_FILE).exists()
