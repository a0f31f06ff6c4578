import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archive_assets.simulation import night_report
from archive_assets.simulation.night_report import (
    PICTURES,
    comparison_figure,
    programme_figure,
    save_png,
    visits_of_night,
    write_night_report,
)
from archive_assets.simulation.variants_report import (
    differences,
    write_variants_report,
)

NIGHT = date(2026, 1, 1)


@pytest.fixture
def visits() -> pd.DataFrame:
    """Sixty visits of a night, and one of the next."""
    n = 61
    mjd = 61042.05 + np.arange(n) * 0.005
    mjd[-1] += 1
    return pd.DataFrame(
        {
            "observationStartMJD": mjd,
            "fieldRA": np.linspace(340, 380, n) % 360,
            "fieldDec": np.linspace(-60, 5, n),
            "band": np.resize(["r", "i", "z"], n),
            "altitude": np.linspace(30, 85, n),
            "airmass": 1 / np.sin(np.radians(np.linspace(30, 85, n))),
            "fiveSigmaDepth": np.linspace(23, 24, n),
            "science_program": np.resize(["BLOCK-407", "BLOCK-408", ""], n),
            "scheduler_note": "simple pair 30, ri, a",
        }
    )


def test_a_night_runs_from_noon_to_noon(visits: pd.DataFrame) -> None:
    assert len(visits_of_night(visits, NIGHT)) == 60
    assert len(visits_of_night(visits, date(2026, 1, 2))) == 1


def test_variants_differ_from_the_nominal_one_by_what_they_leave_out(
    visits: pd.DataFrame,
) -> None:
    found = differences({"nominal": visits, "late": visits.iloc[30:60]}, NIGHT)

    nominal, late = found.to_dict("records")
    assert nominal["more_visits"] == nominal["begins_later_min"] == 0
    assert (late["visits"], late["more_visits"]) == (30, -30)
    assert late["begins_later_min"] == pytest.approx(30 * 0.005 * 24 * 60)
    assert late["ends_later_min"] == pytest.approx(0)
    assert late["airmass"] < nominal["airmass"]
    assert 0.4 < late["same_fields"] < 0.6 < nominal["same_fields"]


def test_variants_are_drawn_even_if_one_has_no_visits(
    visits: pd.DataFrame, tmp_path: Path
) -> None:
    several = {"nominal": visits, "cloudy": visits.head(0)}

    pictures = write_variants_report(tmp_path, several, NIGHT)
    alone = write_variants_report(tmp_path, {"nominal": visits}, NIGHT)

    assert set(pictures) == {"variants", "differences"}
    assert set(alone) == {"variants"}
    assert all(path.stat().st_size > 5000 for path in pictures.values())


def test_a_night_is_drawn_into_png_files(visits: pd.DataFrame, tmp_path: Path) -> None:
    pictures = write_night_report(
        tmp_path / "png", {"nominal": visits, "delay": visits.tail(30)}, NIGHT
    )

    assert list(pictures) == ["altitude", "sky", "programmes", "comparison"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures.values())
    assert len(list((tmp_path / "png").iterdir())) == 4


def test_an_empty_night_is_drawn_as_such(visits: pd.DataFrame, tmp_path: Path) -> None:
    nominal = {"nominal": visits.head(0)}

    pictures = write_night_report(tmp_path, nominal, NIGHT)
    compared = [
        save_png(
            comparison_figure(nominal | {"delay": visits.head(n)}, NIGHT),
            tmp_path / f"{n}.png",
        )
        for n in (0, 30)
    ]

    assert len(pictures) == 3
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in compared)


def test_programmes_are_named_or_else_by_the_schedulers_note(
    visits: pd.DataFrame,
) -> None:
    (axes,) = programme_figure(visits, "night").axes

    assert {label.get_text() for label in axes.get_yticklabels()} == {
        "BLOCK-407",
        "BLOCK-408",
        "simple pair 30, ri",
    }


def test_variants_are_compared_with_the_first(visits: pd.DataFrame) -> None:
    figure = comparison_figure({"nominal": visits, "half": visits.head(30)}, NIGHT)

    texts = [text.get_text().strip() for text in figure.axes[3].texts]
    assert texts == ["49 %"]
    (line,) = [line for line in figure.axes[1].lines if line.get_label() == "half"]
    assert np.asarray(line.get_ydata())[-1] == -31


def test_nights_are_drawn_without_pyplot() -> None:
    program = (
        "import sys; import archive_assets.simulation.night_report;"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_reports_do_not_disturb_each_other(
    visits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night_report, "PICTURES", {"sky": PICTURES["sky"]})

    def draw(k: int) -> bytes:
        pictures = write_night_report(tmp_path / str(k), {"nominal": visits}, NIGHT)
        return pictures["sky"].read_bytes()

    with ThreadPoolExecutor(2) as threads:
        drawn = set(threads.map(draw, range(2)))

    assert len(drawn) == 1


def test_a_night_from_before_the_bands_is_drawn_by_its_filters(
    visits: pd.DataFrame, tmp_path: Path
) -> None:
    old = visits.rename(columns={"band": "filter"})
    later = old.iloc[30:60]

    pictures = write_night_report(tmp_path, {"nominal": old, "late": later}, NIGHT)
    found = differences({"nominal": old, "late": later}, NIGHT)

    assert list(visits_of_night(old, NIGHT)["band"][:3]) == ["r", "i", "z"]
    assert set(pictures) >= {"altitude", "sky", "comparison"}
    assert list(found["visits"]) == [60, 30]
