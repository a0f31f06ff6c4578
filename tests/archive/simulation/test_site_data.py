from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, get_body
from astropy.time import Time
from astropy.utils import iers

from archive_assets.simulation.site_data import (
    SiteDataError,
    check_site_data,
    is_synthetic,
)
from archive_assets.simulation.site_data.almanac import compute_almanac
from archive_assets.simulation.site_data.ephemeris import (
    PLANETS,
    horizon_frame,
    moon_position,
    planet_radec,
    sun_position,
)
from archive_assets.simulation.site_data.errors import SiteDataNotSyntheticError
from archive_assets.simulation.site_data.extras import field_centres
from archive_assets.simulation.site_data.files import (
    SyntheticMarker,
    day_obs_mjd,
    mjd_day_obs,
    sky_files,
)
from archive_assets.simulation.site_data.synthesize import synthesize_site_data


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of which single tests make copies."""
    folder = tmp_path_factory.mktemp("growing") / "site"
    synthesize_site_data(folder, date(2026, 1, 1), step_minutes=60)
    return folder


@pytest.fixture
def copied(growing: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name, content in tree(growing).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def test_sun_and_moon_agree_with_astropy() -> None:
    mjd = np.linspace(61042.0, 61400.3, 40)
    place = EarthLocation(lon=-70.74941 * u.deg, lat=-30.244628 * u.deg, height=2650)
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
    ):
        times = Time(mjd, format="mjd", location=place)
        seen = {
            name: get_body(name, times, place).transform_to(
                AltAz(obstime=times, location=place)
            )
            for name in ("sun", "moon")
        }

    frame = horizon_frame(mjd)

    for name, position in (
        ("sun", sun_position(frame)),
        ("moon", moon_position(frame)),
    ):
        assert np.degrees(position.alt_rad) == pytest.approx(
            seen[name].alt.deg, abs=0.01
        )
        apart_az = np.degrees(position.az_rad) - seen[name].az.deg
        across = (apart_az + 180) % 360 - 180
        assert across * np.cos(position.alt_rad) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("name", list(PLANETS))
def test_planets_agree_with_astropy(name: str) -> None:
    mjd = np.array([60900.25, 61042.0, 61400.5])
    body = get_body(name, Time(mjd, format="mjd"))

    ra, dec = planet_radec(name, mjd)

    assert np.degrees(dec) == pytest.approx(body.dec.deg, abs=0.05)
    assert np.degrees(ra) == pytest.approx(body.ra.deg, abs=0.05)


def test_every_night_of_the_almanac_has_its_events_in_order() -> None:
    nights = compute_almanac(date(2026, 5, 1), date(2026, 8, 31)).nights

    assert len(nights) == 123
    order = [
        "sunset",
        "sun_n12_setting",
        "sun_n18_setting",
        "sun_n18_rising",
        "sun_n12_rising",
        "sunrise",
    ]
    for before, after in pairwise(order):
        assert (nights[before] < nights[after]).all()
    assert [mjd_day_obs(t) for t in nights["sunset"][:2]] == [
        date(2026, 5, 1),
        date(2026, 5, 2),
    ]


def test_a_longer_almanac_says_the_same_of_an_old_night() -> None:
    night = date(2026, 1, 1)
    short = compute_almanac(night - timedelta(days=20), night + timedelta(days=20))
    long = compute_almanac(night - timedelta(days=20), night + timedelta(days=80))

    before, after = short.night(night), long.night(night)

    for name in ("sunset", "sun_n12_setting", "sunrise", "moonrise", "moonset"):
        assert before[name] == pytest.approx(after[name], abs=1e-9)


def test_field_centres_are_spread_over_the_sphere() -> None:
    centres = field_centres()

    assert centres.shape == (5292, 3)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(1)
    assert np.linalg.norm(centres.mean(axis=0)) < 1e-9


@pytest.mark.parametrize(
    ("mjd", "expected"),
    [
        (61041.5, date(2026, 1, 1)),
        (61042.499, date(2026, 1, 1)),
        (61042.5, date(2026, 1, 2)),
    ],
)
def test_a_day_obs_runs_from_noon_to_noon_utc(mjd: float, expected: date) -> None:
    assert mjd_day_obs(mjd) == expected
    assert day_obs_mjd(date(2026, 1, 1)) == 61041.5


def test_synthetic_site_data_cover_their_nights(site_data: Path, night: date) -> None:
    check_site_data(site_data, night, 1)

    assert is_synthetic(site_data)


def test_a_night_outside_the_site_data_is_named(site_data: Path, night: date) -> None:
    with pytest.raises(SiteDataError, match=r"2026-01-03: no file of sky brightness"):
        check_site_data(site_data, night, 2)


def test_a_night_outside_the_almanac_is_named(site_data: Path) -> None:
    with pytest.raises(
        SiteDataError, match=r"almanac does not have 2031-05-05.*synthesize --first"
    ):
        check_site_data(site_data, date(2031, 5, 5), 1)


def test_an_empty_folder_lists_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SiteDataError, match=r"sunsets.npz is missing.*and 4 more"):
        check_site_data(tmp_path, date(2026, 1, 1), 1)


def test_models_of_the_weather_are_asked_for(site_data: Path, night: date) -> None:
    with pytest.raises(SiteDataError, match=r"clouds_ctio_1975_2022.db is missing"):
        check_site_data(site_data, night, 1, models=["clouds"])


def test_the_day_of_the_schedulers_own_start_is_no_night(site_data: Path) -> None:
    with pytest.raises(SiteDataError, match="no maps for part of the night"):
        check_site_data(site_data, date(2026, 6, 29), 1)


def test_overlapping_sky_files_are_told(copied: Path) -> None:
    (first, *_) = sky_files(copied)
    first.path.rename(first.path.with_name("61041.5_61042.7.h5"))

    with pytest.raises(SiteDataError, match=r"61042.7.h5 and .* overlap"):
        check_site_data(copied, date(2026, 1, 1), 1)


def test_a_truncated_sky_file_is_told(copied: Path) -> None:
    (first, *_) = sky_files(copied)
    first.path.write_bytes(first.path.read_bytes()[:4000])

    with pytest.raises(SiteDataError, match=r"61041.5_61042.5.h5 cannot be read"):
        check_site_data(copied, date(2026, 1, 1), 1)


def test_a_strangely_named_sky_file_is_told(copied: Path) -> None:
    (copied / "skybrightness_pre" / "notes.h5").touch()

    with pytest.raises(SiteDataError, match=r"notes.h5 is not named"):
        check_site_data(copied, date(2026, 1, 1), 1)


def test_adding_nights_keeps_the_old_ones(copied: Path) -> None:
    before = tree(copied)

    done = synthesize_site_data(copied, date(2026, 1, 2), step_minutes=60)

    after = tree(copied)
    assert done.added == (date(2026, 1, 3),)
    assert done.kept == (date(2026, 1, 2),)
    for name, content in before.items():
        assert name == "SYNTHETIC.json" or after[name] == content
    check_site_data(copied, date(2026, 1, 1), 2)


def test_synthesis_of_what_is_there_changes_nothing(copied: Path) -> None:
    before = tree(copied)

    done = synthesize_site_data(copied, date(2026, 1, 1))

    assert done.added == ()
    assert tree(copied) == before


def test_other_peoples_site_data_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "versions.txt").write_text("site_models,2025\n")

    with pytest.raises(SiteDataNotSyntheticError, match="nothing was written"):
        synthesize_site_data(tmp_path / "site", date(2026, 1, 1))

    assert [path.name for path in (tmp_path / "site").iterdir()] == ["versions.txt"]


def test_an_interrupted_synthesis_leaves_nothing_visible(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("sky"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_site_data(
            tmp_path / "site", date(2026, 1, 1), step_minutes=60, report=stop
        )

    assert [path.name for path in tmp_path.iterdir()] == [".site.lock"]


def test_a_night_before_the_survey_goes_elsewhere(copied: Path) -> None:
    with pytest.raises(SiteDataError, match="survey starts on 2025-06-20"):
        synthesize_site_data(copied, date(2024, 1, 1))


@pytest.mark.parametrize(
    ("first", "n_nights", "match"),
    [
        (date(2026, 1, 1), 0, "n_nights must be 1 to 400, not 0"),
        (date(2099, 1, 1), 1, "nights must lie between"),
    ],
)
def test_impossible_nights_are_refused(
    tmp_path: Path, first: date, n_nights: int, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        synthesize_site_data(tmp_path / "site", first, n_nights)


def test_a_damaged_marker_is_told(tmp_path: Path) -> None:
    (tmp_path / "SYNTHETIC.json").write_text("{}")

    with pytest.raises(SiteDataError, match=r"SYNTHETIC.json is damaged"):
        SyntheticMarker.read(tmp_path)


def test_moonlight_brightens_the_sky_near_the_moon(site_data: Path) -> None:
    # on 2026-01-01 the Moon is two days before full
    (first, *_) = sky_files(site_data)
    with h5py.File(first.path) as file:
        middle = file["sky_mags"][file["mjds"].shape[0] // 2]

    assert 15 < np.nanmedian(middle["u"]) < 22.9
    assert np.nanmedian(middle["u"]) > np.nanmedian(middle["y"])
    assert np.isnan(middle["r"]).any()
