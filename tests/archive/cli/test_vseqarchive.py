import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from archive_assets.cli.vseqarchive import main
from visit_tables.hdf5.read import read_visits, write_visits

Run = Callable[..., Result]

ORIGINAL = [
    "record-visitseq-metadata", "get-visitseq-metadata", "set-visitseq-url",
    "get-visitseq-url", "update-visitseq-metadata", "is-tagged", "tag", "untag",
    "comment", "get-comments", "archive-file", "get-file", "add-nightly-stats",
    "query-nightly-stats", "record-conda-env", "import-proto", "export-proto",
    "make-prenight-index",
]  # fmt: skip
ALL = [
    *ORIGINAL, "add", "search", "show", "nightly", "find", "compare", "verify",
    "delete", "restore", "gc", "doctor", "schema", "roles",
]  # fmt: skip


_LOADED = """
import importlib, sys
module, function = sys.argv[1:]
main = getattr(importlib.import_module(module), function)
names = main.list_commands(None) if hasattr(main, "list_commands") else []
for words in [["--help"], *([name, "--help"] for name in names)]:
    try:
        main(words)
    except SystemExit as end:
        assert end.code == 0, words
heavy = {"numpy", "pandas", "sqlalchemy", "astropy", "h5py", "rubin_scheduler"}
print(sorted(heavy & set(sys.modules)))
"""
PROGRAMS = sorted(
    program
    for program in tomllib.loads(
        (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text()
    )["project"]["scripts"].values()
    if program.startswith("archive_assets.")
)


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    """Visits of two nights, as HDF5."""
    path = tmp_path / "mine.h5"
    mjds = 61375.6 + np.array([0.0, 0.1, 0.2, 1.0, 1.1])
    write_visits(
        path,
        {
            "observations": pd.DataFrame(
                {
                    "observationStartMJD": mjds,
                    "fieldRA": [10.0, 20.0, 30.0, 40.0, 50.0],
                    "fieldDec": -30.0,
                    "band": ["r", "i", "r", "z", "y"],
                    "altitude": [50.0, 60.0, 70.0, 55.0, 65.0],
                    "azimuth": 90.0,
                }
            )
        },
    )
    return path


@pytest.fixture
def run(
    archive_connect: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command on an empty archive; the exit code must be as expected."""
    for name in list(os.environ):
        if name.startswith("VSARCHIVE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ARCHIVE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("PRENIGHT_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("VSARCHIVE_PGSCHEMA", "vsmd_test")
    options = [
        "--database", archive_connect["dbname"], "--host", archive_connect["host"],
        "--user", archive_connect["user"], "--port", archive_connect["port"],
    ]  # fmt: skip

    def invoke(*words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*options, *map(str, words)])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def uuid(run: Run, h5: Path) -> str:
    """A simulation, recorded."""
    nights = ("--first_day_obs", "20261201", "--last_day_obs", "2026-12-02")
    found = run("record-visitseq-metadata", "simulations", h5, "a label", *nights)
    return found.stdout.strip()


@pytest.mark.parametrize("name", ALL)
def test_help_needs_no_database(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program: str) -> None:
    module, _, function = program.partition(":")
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, module, function],
        check=True,
        capture_output=True,
        text=True,
    )

    assert "Usage: " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.postgresql
def test_recording_prints_a_uuid_and_reading_prints_tsv(run: Run, uuid: str) -> None:
    lines = run("get-visitseq-metadata", uuid).stdout.splitlines()

    names, values = (line.split("\t") for line in lines)
    row = dict(zip(names, values, strict=True))
    assert str(UUID(uuid)) == row["visitseq_uuid"]
    assert row["visitseq_label"] == "a label"
    assert row["first_day_obs"] == "2026-12-01"
    assert len(bytes.fromhex(row["visitseq_sha256"])) == 32
    wide = run("get-visitseq-metadata", uuid, "--table", "simulations_extra").stdout
    assert wide.startswith("sim_creation_day_obs\tdaily_id\tvisitseq_uuid")


@pytest.mark.postgresql
def test_urls_are_set_and_printed(run: Run, uuid: str) -> None:
    assert run("get-visitseq-url", uuid).stdout == "\n"
    assert run("set-visitseq-url", uuid, "file:///x.h5").stdout == ""
    assert run("get-visitseq-url", uuid).stdout == "file:///x.h5\n"


@pytest.mark.postgresql
def test_fields_are_updated(run: Run, uuid: str) -> None:
    run("update-visitseq-metadata", uuid, "first_day_obs", "20261130")
    run("update-visitseq-metadata", uuid, "conda_env_sha256", "ab" * 32)

    shown = json.loads(run("show", uuid, "--format", "json").stdout)
    assert shown["first_day_obs"] == "2026-11-30"
    assert shown["conda_env_sha256"] == "ab" * 32
    result = run("update-visitseq-metadata", uuid, "visitseq_sha256", "xx", code=2)
    assert "not hexadecimal" in result.stderr
    result = run("update-visitseq-metadata", uuid, "nothing", "1", code=1)
    assert result.stderr.startswith("Error: unknown field 'nothing'")


@pytest.mark.postgresql
def test_tags_and_comments(run: Run, uuid: str) -> None:
    assert run("is-tagged", uuid, "ideal").stdout == "false\n"
    assert run("tag", uuid, "ideal", "prenight").stdout == ""
    assert run("is-tagged", uuid, "ideal").stdout == "true\n"
    assert run("untag", uuid, "ideal").stdout == ""
    assert "is not tagged with ideal" in run("untag", uuid, "ideal", code=1).stderr
    assert run("get-comments", uuid).stdout == ""
    run("comment", uuid, "well done", "--author", "me")
    lines = run("get-comments", uuid).stdout.splitlines()
    assert lines[0] == "visitseq_uuid\tcomment_time\tauthor\tcomment"
    assert lines[1].endswith("\tme\twell done")


@pytest.mark.postgresql
def test_files_are_archived_and_brought_back(
    run: Run, uuid: str, h5: Path, tmp_path: Path
) -> None:
    url = run("archive-file", uuid, h5, "visits").stdout.strip()
    back, opsim = tmp_path / "back.h5", tmp_path / "back.db"

    copied = run("get-file", uuid, "visits", back)
    converted = run("get-file", uuid, "visits", opsim)

    assert url.endswith(f"{uuid}/mine.h5")
    assert back.read_bytes() == h5.read_bytes()
    assert copied.stdout.splitlines() == [f"Copied {url} to {back.as_uri()}"]
    assert converted.stdout.splitlines()[1].startswith("Converted to opsim and wrote")
    assert opsim.read_bytes().startswith(b"SQLite")
    assert "exists" in run("get-file", uuid, "visits", back, code=1).stderr
    nowhere = run("get-file", uuid, "visits", tmp_path / "no/x.h5", code=1)
    assert f"there is no folder {tmp_path}/no" in nowhere.stderr
    assert "No URL for a file" in run(
        "get-file", uuid, "rewards", tmp_path / "no", code=1
    ).stderr  # fmt: skip


@pytest.mark.postgresql
def test_programs_get_of_an_original_command_its_answer_only(
    run: Run, uuid: str, h5: Path
) -> None:
    archived = run("archive-file", uuid, h5, "visits")
    tagged = run("tag", uuid, "ideal")

    # both streams together, as they come to a program that reads them as one
    assert archived.output.startswith("file:///")
    assert archived.output.splitlines() == archived.stdout.splitlines()
    assert len(archived.output.splitlines()) == 1
    assert tagged.output == ""


@pytest.mark.postgresql
def test_statistics_are_added_and_printed_in_their_orders(
    run: Run, uuid: str, h5: Path
) -> None:
    assert run("query-nightly-stats", uuid).stdout == "\n"
    added = run("add-nightly-stats", uuid, h5, "altitude").stdout.splitlines()
    stored = run("query-nightly-stats", uuid).stdout.splitlines()

    assert added[0].split("\t") == [
        "day_obs", "value_name", "count", "mean", "std", "min", "p05", "q1", "median",
        "q3", "p95", "max", "accumulated",
    ]  # fmt: skip
    assert stored[0].split("\t")[:5] == [
        "visitseq_uuid", "day_obs", "value_name", "accumulated", "count",
    ]  # fmt: skip
    assert len(added) == len(stored) == 3
    result = run("add-nightly-stats", uuid, h5, "altitude", code=1)
    assert "are stored already" in result.stderr


@pytest.mark.postgresql
def test_the_index_is_published_and_its_url_printed(
    run: Run, uuid: str, tmp_path: Path
) -> None:
    run("tag", uuid, "prenight")

    url = run("make-prenight-index", "20261201", "simonyi").stdout.strip()

    path = tmp_path / "index/simonyi/2026/12/simonyi_prenights_for_2026-12-01.json"
    assert url == path.as_uri()
    assert list(json.loads(path.read_text())) == [uuid]
    run("make-prenight-index", "2026-12-01", "hubble", code=2)


@pytest.mark.postgresql
def test_adding_is_one_act_and_again_the_same(run: Run, h5: Path) -> None:
    words = [
        "add", h5, "a night", "--tag", "prenight", "--tag", "ideal", "--file",
        f"rewards={h5}", "--sim_runner_kwargs", '{"nside": 32}', "--comment", "good",
    ]  # fmt: skip
    first, again = run(*words), run(*words)

    assert first.stdout == again.stdout
    assert again.stderr.startswith("already archived, nothing was changed; next: ")
    shown = json.loads(run("show", first.stdout.strip(), "--format", "json").stdout)
    assert shown["state"] == "complete"
    assert shown["tags"] == ["ideal", "prenight"]
    assert shown["sim_runner_kwargs"] == {"nside": 32}
    assert set(shown["files"]) == {"rewards"}


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--file", "rewards"], 2, "is not TYPE=PATH"),
        (["--file", "a=b", "--file", "a=c"], 2, "is given twice"),
        (["--file", "rewards=/absent"], 1, "no file /absent"),
        (["--sim_runner_kwargs", "[1]"], 2, "must be a JSON object"),
        (["--telescope", "../x"], 1, "telescope '../x' is not usable"),
        (["--first_day_obs", "2027-01-01"], 1, "is after last_day_obs"),
        (["--stats", "absent"], 1, "no column 'absent'"),
        (["--parent", str(uuid4())], 1, "Visit sequence not found"),
        (["--kind", "dreams"], 2, "Invalid value for '--kind'"),
    ],
)
def test_what_cannot_be_added_is_said_in_a_line(
    run: Run, h5: Path, words: list[str], code: int, message: str
) -> None:
    result = run("add", h5, "a night", *words, code=code)

    assert message in result.stderr
    assert "Traceback" not in result.output
    assert run("search", "--format", "uuid").stdout == ""


@pytest.mark.postgresql
def test_a_sequence_is_searched_and_shown_in_each_format(run: Run, uuid: str) -> None:
    run("tag", uuid, "ideal", "prenight")

    table = run("search", "--day-obs", "20261202", "--tags", "ideal,prenight").stdout
    records = json.loads(run("search", "--label", "LABEL", "--format", "json").stdout)
    csv = run("search", "--kind", "simulations", "--format", "csv").stdout

    assert uuid in table
    assert records[0]["visitseq_uuid"] == uuid
    assert records[0]["tags"] == ["ideal", "prenight"]
    assert csv.splitlines()[0].startswith("kind,state,visitseq_uuid")
    assert run("search", "--format", "uuid").stdout == f"{uuid}\n"
    assert "nothing found" in run("search", "--telescope", "auxtel").stderr
    assert "a label" in run("show", uuid).stdout
    assert "is not YYYY-MM-DD" in run("search", "--day-obs", "x", code=2).stderr


@pytest.mark.postgresql
def test_a_label_cannot_command_the_terminal(run: Run, h5: Path) -> None:
    uuid = run("add", h5, "red \x1b[31m\nline").stdout.strip()

    shown = run("show", uuid).stdout + run("search").stdout

    assert "\x1b" not in shown
    assert "\\u001b[31m\\nline" in shown
    assert r"red \x1b[31m line" in shown


@pytest.mark.postgresql
def test_the_newest_match_is_found_with_its_url(run: Run, h5: Path) -> None:
    run("add", h5, "older", "--tag", "ideal", "--creation_time", "2026-11-01")
    uuid = run("add", h5, "newer", "--tag", "ideal").stdout.strip()

    found = run("find", "--day-obs", "2026-12-02", "--tags", "ideal").stdout

    url = run("get-visitseq-url", uuid).stdout.strip()
    assert found == f"{uuid}\t{url}\n"
    result = run("find", "--day-obs", "2026-12-02", "--tags", "rare", code=1)
    assert "no simulation of simonyi covers 2026-12-02" in result.stderr


@pytest.mark.postgresql
def test_statistics_of_a_range_of_nights(run: Run, h5: Path) -> None:
    run("add", h5, "a night", "--tag", "ideal")

    found = run(
        "nightly", "--first", "2026-12-01", "--last", "2026-12-31", "--value",
        "altitude", "--format", "json",
    )  # fmt: skip

    rows = json.loads(found.stdout)
    assert [(row["day_obs"], row["count"]) for row in rows] == [
        ("2026-12-01", 3),
        ("2026-12-02", 2),
    ]


@pytest.mark.postgresql
def test_two_sequences_are_compared_and_drawn(
    run: Run, h5: Path, tmp_path: Path
) -> None:
    frame = pd.read_hdf(h5, key="observations")
    other = frame.iloc[:4].assign(
        observationStartMJD=lambda f: f["observationStartMJD"] + 60 / 86400
    )
    write_visits(tmp_path / "other.h5", {"observations": other})
    a = run("add", h5, "A costs $x_$ and ${").stdout.strip()
    b = run("add", tmp_path / "other.h5", "_B").stdout.strip()
    plot = tmp_path / "plot.png"

    table = run("compare", a, b, "--plot", plot, "--visits").stdout
    summary = json.loads(run("compare", a, b, "--format", "json", "--visits").stdout)

    assert summary["shared"] == 4
    assert summary["only_a"] == 1
    assert summary["nights"] == ["2026-12-01", "2026-12-02"]
    assert (summary["uuid_a"], summary["uuid_b"]) == (a, b)
    assert summary["offset_s"]["median"] == pytest.approx(60, abs=1e-3)
    assert summary["bands"]["y"] == {"a": 1, "b": 0, "shared": 0}
    assert summary["visits_only_a"][0]["band"] == "y"
    assert "only in A:" in table
    assert plot.read_bytes().startswith(b"\x89PNG")
    wrong = run("compare", a, b, "--plot", tmp_path / "plot.xyz", code=1)
    assert "the suffixes are" in wrong.stderr


@pytest.mark.postgresql
def test_only_common_nights_are_compared_unless_asked(
    run: Run, h5: Path, tmp_path: Path
) -> None:
    frame = read_visits(h5)
    write_visits(tmp_path / "first.h5", {"observations": frame.iloc[:3]})
    whole = run("add", h5, "both nights").stdout.strip()
    first = run("add", tmp_path / "first.h5", "one night").stdout.strip()

    common = run("compare", whole, first)
    every = run("compare", whole, first, "--all-nights", "--format", "json")
    one = run("compare", whole, first, "--day-obs", "2026-12-02", "--format", "json")
    none = run("compare", whole, first, "--day-obs", "2027-01-01", code=1)

    assert "nights compared        1 (2026-12-01 to 2026-12-01)" in common.stdout
    assert "2 visits of A and 0 of B: left out" in common.stdout
    assert json.loads(every.stdout)["only_a"] == 2
    assert json.loads(one.stdout)["shared"] == 0
    assert json.loads(one.stdout)["only_a"] == 2
    assert "neither sequence has visits on 2027-01-01" in none.stderr


@pytest.mark.postgresql
def test_tags_choose_the_newest_sequence_and_it_is_named(
    run: Run, h5: Path, tmp_path: Path
) -> None:
    frame = read_visits(h5)
    write_visits(tmp_path / "fewer.h5", {"observations": frame.iloc[:4]})
    old = run("add", h5, "old").stdout.strip()
    new = run("add", tmp_path / "fewer.h5", "new").stdout.strip()
    for uuid in (old, new):
        run("tag", uuid, "prenight", "nominal")

    done = run("compare", "prenight,nominal", old, "--format", "json")
    wrong = run("compare", "prenight,nominale", old, code=1)

    assert json.loads(done.stdout)["uuid_a"] == new
    assert f"A is {new} 'new' (newest of 2 tagged prenight, nominal)" in done.stderr
    assert f"B is {old} 'old' (as given)" in done.stderr
    assert (
        "no sequence tagged prenight,nominale with visits is archived" in wrong.stderr
    )


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "words",
    [
        ["get-visitseq-metadata"], ["get-visitseq-url"], ["set-visitseq-url", "x"],
        ["tag", "x"], ["untag", "x"], ["is-tagged", "x"], ["comment", "x"],
        ["get-comments"], ["query-nightly-stats"], ["show"], ["delete"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_an_unknown_uuid_ends_with_one_line(run: Run, words: list[str]) -> None:
    result = run(words[0], uuid4(), *words[1:], code=1)

    assert result.stderr.startswith("Error: Visit sequence not found")
    assert len(result.stderr.splitlines()) == 1


def test_a_database_that_is_away_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VSARCHIVE_PGHOST", "127.0.0.1")
    monkeypatch.setenv("VSARCHIVE_PGPORT", "1")

    result = CliRunner().invoke(main, ["is-tagged", str(uuid4()), "x"])

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot work with the database opsim_log")


@pytest.mark.postgresql
def test_a_store_that_cannot_be_written_ends_with_one_line(
    run: Run, uuid: str, h5: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file where the store should be")
    away = (tmp_path / "taken").as_uri()

    for words in (
        ["add", h5, "x", "--archive-base", away],
        ["archive-file", uuid, h5, "visits", "--archive-base", away],
        ["make-prenight-index", "20261201", "simonyi", "--destination", away],
    ):
        result = run(*words, code=1)
        assert result.stderr.startswith("Error: ")
        assert len(result.stderr.splitlines()) == 1
    assert run("search", "--format", "uuid").stdout == f"{uuid}\n"


def test_wrong_usage_ends_with_2() -> None:
    for words in (["tag", "not-a-uuid", "x"], ["tag"], ["dance"], ["--port", "x"]):
        assert CliRunner().invoke(main, words).exit_code == 2
