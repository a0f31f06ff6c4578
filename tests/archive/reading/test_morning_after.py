"""What came true of a night: completed visits against simulated variants."""

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from archive_assets.cli.prenight import main
from archive_assets.metadata.errors import InvalidValueError
from archive_assets.reading.completed import ConsdbError, consdb_visits
from archive_assets.reading.morning_after import (
    MorningAfter,
    NoVisitsError,
    best_places,
    compare_completed,
    completed_section,
)
from visit_tables.hdf5.read import write_visits
from visit_tables.time_scales import mjd_tai_from_utc, utc_from_mjd_utc

NIGHT = date(2026, 10, 10)
START = 61324.0  # midnight UTC within the night
MINUTE = 1 / 1440


def visits(minutes: list[float], *, ra: float = 30.0, band: str = "r") -> pd.DataFrame:
    """Return visits of one field under the names of opsim."""
    n = len(minutes)
    return pd.DataFrame(
        {
            "observationStartMJD": START + np.array(minutes) * MINUTE,
            "fieldRA": np.full(n, ra),
            "fieldDec": np.full(n, -30.0),
            "band": np.full(n, band),
            "airmass": 1.1 + 0.01 * np.arange(n),
            "fiveSigmaDepth": np.full(n, 24.0),
        }
    )


def compare(made: pd.DataFrame, **planned: pd.DataFrame) -> MorningAfter:
    return compare_completed(made, planned, NIGHT)


def test_the_variant_with_the_visits_that_were_made_came_true() -> None:
    made = pd.concat([visits([0, 10]), visits([20], ra=40), visits([30], band="i")])

    found = compare(
        made,
        nominal=visits([0, 12]),
        delay=pd.concat(
            [visits([60, 70]), visits([80], ra=40), visits([90], band="i")]
        ),
    )

    assert found.best.name == "delay"
    assert found.answer == (
        "delay came true: 4 of 4 completed visits (100%) are in it, 60.0 min early "
        "(median)"
    )
    assert [one.share for one in found.variants] == [1.0, 0.5]


def test_of_equal_matches_the_nearer_in_time_is_the_one() -> None:
    found = compare(visits([5, 15]), late=visits([9, 19]), near=visits([4, 14]))

    assert [one.name for one in found.variants] == ["near", "late"]


def test_few_matches_are_no_variant_come_true() -> None:
    made = pd.concat([visits([0]), visits([10, 20], ra=50)])

    found = compare(made, nominal=visits([0, 5]))

    assert found.answer.startswith("no variant came true; closest is nominal: 1 of 3")
    assert found.as_json()["came_true"] is None


def test_offsets_are_completed_minus_simulated() -> None:
    made = visits([7, 17]).assign(fiveSigmaDepth=23.5)

    (one,) = compare(made, nominal=visits([5, 14])).variants

    assert one.pairs["offset_s"].to_numpy() == pytest.approx([120, 180], abs=1e-3)
    numbers = one.numbers()
    assert numbers["50%"] == pytest.approx(150, abs=1e-3)
    assert numbers["airmass"] == pytest.approx(0)
    assert numbers["depth"] == pytest.approx(-0.5)


def test_fields_match_within_the_tolerance_and_across_ra_zero() -> None:
    planned = visits([0], ra=359.9999)

    near = compare(visits([0], ra=0.0005), nominal=planned)
    far = compare(visits([0], ra=0.005), nominal=planned)

    assert [len(f.best.pairs) for f in (near, far)] == [1, 0]
    assert far.best.numbers()["50%"] is None


def test_visits_of_other_bands_and_nights_do_not_match() -> None:
    planned = pd.concat([visits([0], band="g"), visits([1440])])

    found = compare(visits([0, 10]), nominal=planned)

    assert (found.best.n_simulated, len(found.best.pairs)) == (1, 0)
    assert found.best.bands.to_dict("index") == {
        "g": {"completed": 0, "simulated": 1, "matched": 0},
        "r": {"completed": 2, "simulated": 0, "matched": 0},
    }


def test_visits_of_consdb_are_read_in_tai_and_lack_a_depth() -> None:
    tai = mjd_tai_from_utc(utc_from_mjd_utc(np.array([START])))
    made = pd.DataFrame(
        {"obs_start_mjd": tai, "s_ra": [30.0], "s_dec": [-30.0], "band": ["r"],
         "airmass": [1.2]}
    )  # fmt: skip

    numbers = compare(made, nominal=visits([0])).best.numbers()

    assert numbers["50%"] == pytest.approx(0, abs=1e-3)
    assert numbers["airmass"] == pytest.approx(0.1)
    assert numbers["depth"] is None


def test_a_night_without_visits_is_named() -> None:
    with pytest.raises(NoVisitsError, match="no completed visits of the night 2026"):
        compare(visits([1440]), nominal=visits([0]))
    with pytest.raises(NoVisitsError, match="no simulation of the night 2026-10-10"):
        compare(visits([0]), nominal=visits([1440]))
    with pytest.raises(InvalidValueError, match="no column fieldRA or s_ra"):
        compare(visits([0]).drop(columns="fieldRA"), nominal=visits([0]))


times = st.lists(st.floats(0, 100), min_size=1, max_size=6).map(sorted)


@settings(max_examples=60, deadline=None)
@given(one=times, other=times)
def test_no_order_of_matches_is_nearer(one: list[float], other: list[float]) -> None:
    # what schedview's comparesim tries one by one
    shorter, longer = (np.array(t) for t in sorted((one, other), key=len))
    apart = [
        np.abs(longer[list(chosen)] - shorter)
        for chosen in itertools.combinations(range(len(longer)), len(shorter))
    ]
    best = min((float(a.max()), float((a**2).sum())) for a in apart)

    places = best_places(longer, shorter)

    found = np.abs(longer[places] - shorter)
    assert (np.diff(places) > 0).all()
    assert (found.max(), (found**2).sum()) == pytest.approx(best)


def test_the_section_of_the_page_has_the_answer_and_each_variant() -> None:
    found = compare(visits([5, 15]), nominal=visits([4, 14]), delay=visits([65, 75]))

    section = completed_section(found)

    assert section.summary.startswith("nominal came true: 2 of 2")
    assert [row[0] for row in section.rows] == ["nominal", "delay"]
    assert {len(row) for row in section.rows} == {len(section.columns)}
    assert section.rows[0][-1] == "r 2/2"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.h5" for name in ("made", "nominal")}
    made = pd.concat([visits([2, 12]), visits([1445])])
    write_visits(paths["made"], {"observations": made})
    planned = pd.concat([visits([0, 10]), visits([1440])])
    write_visits(paths["nominal"], {"observations": planned})
    return paths


def run(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(
        main, ["compare-completed", *map(str, words)], env=environment
    )


def test_the_command_prints_the_variants_and_which_came_true(
    files: dict[str, Path],
) -> None:
    named = f"nominal={files['nominal']}"

    done = run("--day-obs", NIGHT, named, COMPLETED_VISITS_SIMONYI=str(files["made"]))
    as_json = run("--day-obs", NIGHT, "--completed", files["made"], named, "--json")

    assert done.exit_code == 0, done.output
    assert "nominal came true: 2 of 2 completed visits" in done.output
    (found,) = json.loads(as_json.output)
    assert found["came_true"] == "nominal"
    assert found["bands"]["nominal"]["r"]["matched"] == 2


def test_the_trend_has_a_line_a_night_and_names_nights_without_visits(
    files: dict[str, Path],
) -> None:
    done = run(
        "--day-obs", "2026-10-11", "--nights", "3", "--format", "csv",
        "--completed", files["made"], f"nominal={files['nominal']}",
    )  # fmt: skip

    lines = done.stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "day_obs", "2026-10-10", "2026-10-11",
    ]  # fmt: skip
    assert "2026-10-09: there are no completed visits" in done.stderr


def test_a_command_without_completed_visits_says_how_to_name_them() -> None:
    done = run("--day-obs", NIGHT, COMPLETED_VISITS_SIMONYI="", CONSDB_URL="")

    assert done.exit_code == 2
    assert "give --completed or --consdb" in done.output


class Consdb(BaseHTTPRequestHandler):
    """Answers as ConsDB's REST service does; knows one night and one token."""

    queries: list[str] = []  # noqa: RUF012 - http.server makes an instance a request

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        query = json.loads(self.rfile.read(length))["query"]
        self.queries.append(f"{self.path} {query}")
        is_known = "cdb_lsstcam" in query
        rows = [[1, START + 37 / 86400, 30.0, -30.0, "r", 1.2]]
        answer = {
            "columns": [
                "visit_id",
                "obs_start_mjd",
                "s_ra",
                "s_dec",
                "band",
                "airmass",
            ],
            "data": rows if "20261010" in query else [],
        }
        content = json.dumps(answer if is_known else {"message": "no table"}).encode()
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, *_: object) -> None:
        """Keep tests quiet."""


@pytest.fixture
def consdb(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("rubin_nights")
    monkeypatch.setenv("ACCESS_TOKEN", "token of a test")
    server = HTTPServer(("127.0.0.1", 0), Consdb)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_visits_are_asked_of_consdb(consdb: str, files: dict[str, Path]) -> None:
    named = f"nominal={files['nominal']}"

    done = run("--day-obs", NIGHT, "--consdb", consdb, named, "--json",
               COMPLETED_VISITS_SIMONYI="")  # fmt: skip

    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["variants"][0]["matched"] == 1
    assert found["variants"][0]["50%"] == pytest.approx(0, abs=0.01)
    assert Consdb.queries[-1].startswith("/consdb/query SELECT visit_id")


def test_no_visits_of_consdb_are_told_from_a_failure(consdb: str) -> None:
    assert consdb_visits(consdb, date(2026, 1, 1), "simonyi").empty
    with pytest.raises(ConsdbError, match="refused the query"):
        consdb_visits(consdb, NIGHT, "auxtel")
    with pytest.raises(ConsdbError, match="does not answer"):
        consdb_visits("http://127.0.0.1:9", NIGHT, "simonyi")
