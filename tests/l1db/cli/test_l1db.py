# ruff: noqa: DTZ001  # times of the original's records are naive, UTC
import sqlite3
import subprocess
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from l1db_pipeline.l1db import DiaForcedSource, DiaObject, DiaSource, L1db
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz

T0 = datetime(2026, 1, 1, 3)
RA, DECL = 10.5, -20.25


def _run(program: str, *arguments: object) -> Result:
    """Run a command in this process."""
    main = import_module(f"l1db_pipeline.cli.{program}").main
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _run_program(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"l1db_pipeline.cli.{program}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _config(folder: Path, options: str = "") -> Path:
    file = folder / "l1db.cfg"
    file.write_text(f"[database]\nurl = sqlite:///{folder}/l1.db\n[l1db]\n{options}\n")
    return file


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration of a database with one object that was seen once."""
    config = _config(tmp_path_factory.mktemp("stored"))
    htm = int(htm_index(radec_to_xyz(np.array([RA]), np.array([DECL])))[0])
    with L1db(str(config)) as database:
        database.makeSchema()
        database.storeDiaObjects(
            [DiaObject(7, T0, None, T0, RA, DECL, *(0.0,) * 15, 0, 0, htm)], T0
        )
        database.storeDiaSources(
            [DiaSource(70, 1, 7, 0, 0.0, RA, 0, DECL, *(0.0,) * 9, 5.0, 0, htm)]
        )
        database.storeDiaForcedSources([DiaForcedSource(7, 1, 1.5, None, 0, 0, 0)])
        database.saveVisit(1, T0)
    return config


@pytest.mark.parametrize("program", ["create_l1_schema", "l1db create-schema"])
def test_the_schema_is_made_and_made_again(tmp_path: Path, program: str) -> None:
    name, *command = program.split()
    config = _config(tmp_path, "dia_object_index = last_object_table\nhistory = rows")

    first = _run_program(name, *command, "-v", "-c", config)
    again = _run(name, *command, "-c", config)

    assert (first.returncode, again.exit_code) == (0, 0), first.stderr + again.stderr
    with sqlite3.connect(tmp_path / "l1.db") as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"DiaObject", "DiaObjectLast", "SSObject", "L1DbProtoVisits"} <= names


def test_drop_empties_the_database(stored: Path, tmp_path: Path) -> None:
    config = _config(tmp_path)
    (tmp_path / "l1.db").write_bytes((stored.parent / "l1.db").read_bytes())
    assert "DiaSource,1" in _run("l1db", "row-counts", "-c", config).stdout

    assert _run("create_l1_schema", "--drop", "-c", config).exit_code == 0

    assert "DiaSource,0" in _run("l1db", "row-counts", "-c", config).stdout


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["row-counts"], ["table,rows", "DiaObject,1", "DiaForcedSource,1"]),
        (["sizes"], ["table,bytes"]),
        (
            ["last-visit"],
            [
                "visitId,visitTime,lastObjectId,lastSourceId",
                "1,2026-01-01T03:00:00Z,7,70",
            ],
        ),
        (["verify"], []),
        (["digest"], ["table,digest"]),
        (["compact", "--before", "2026-02-01"], ["0 chunks fewer"]),
        (["rebuild"], ["2 pixels done"]),
        (["partitions"], ["month,visits,rows,bytes,expired"]),
        (
            ["expire", "--keep", "1year", "--yes"],
            ["month,visits,rows,bytes,expired"],
        ),
        (["merge-nightly"], ["0 rows moved"]),
        (["migrate"], ["is 0004"]),
        (["timings"], ["visitId,tile,place,step,real_s,user_s,sys_s,n_rows,n_bytes"]),
        (["explain", "10.5", "-20.25"], []),
    ],
    ids=lambda value: value[0] if value else "",
)
def test_commands_tell_what_is_stored(
    stored: Path, arguments: list[str], lines: list[str]
) -> None:
    name, *rest = arguments

    done = _run("l1db", name, "-c", stored, *rest)

    assert done.exit_code == 0, done.stderr
    assert set(lines) <= set(done.stdout.splitlines())


def test_a_light_curve_is_printed_as_csv(stored: Path) -> None:
    done = _run("l1db", "light-curve", "-c", stored, 7)

    header, row = done.stdout.splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert values["diaSourceId"] == "70"
    assert values["snr"] == "5.0"


@pytest.mark.parametrize("part", ["versions", "forced-sources"])
def test_other_parts_of_a_light_curve_are_printed(stored: Path, part: str) -> None:
    done = _run("l1db", "light-curve", "--part", part, "-c", stored, 7)

    assert len(done.stdout.splitlines()) == 2
    assert done.exit_code == 0


def test_a_cone_search_prints_the_columns_asked_for(stored: Path) -> None:
    columns = "diaObjectId,ra,decl"

    near = _run("l1db", "cone-search", "-c", stored, "--columns", columns,
                RA, DECL, 1)  # fmt: skip
    far = _run("l1db", "cone-search", "-c", stored, "--columns", columns, "--",
               RA + 1, DECL, 1)  # fmt: skip

    assert near.stdout == f"{columns}\n7,{RA},{DECL}\n"
    assert far.stdout == f"{columns}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["row-counts", "-c", "none.cfg"], 2, "'none.cfg' does not exist"),
        (["light-curve", "8"], 1, "Error: diaObjectId 8 is not in the database"),
        (["light-curve", "eight"], 2, "not a valid integer"),
        (["cone-search", "360", "0", "1"], 2, "range"),
        (["cone-search", "0", "-91", "1"], 2, "range"),
        (
            ["cone-search", "--columns", "a,b", "1", "1", "1"],
            1,
            "no columns a, b",
        ),
        (
            ["migrate", "--to", "42"],
            1,
            "there is no revision 42; known: 0001, 0002, 0003, 0004",
        ),
        (["row-count"], 2, "Did you mean row-counts"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_wrong_use_ends_with_a_plain_message(
    stored: Path, arguments: list[str], code: int, message: str
) -> None:
    name, *rest = arguments
    config = [] if "-c" in rest or name == "row-count" else ["-c", stored]

    done = _run("l1db", name, *config, *rest)

    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_names_what_is_broken_and_repairs_what_it_can(
    stored: Path, tmp_path: Path
) -> None:
    config = _config(tmp_path)
    (tmp_path / "l1.db").write_bytes((stored.parent / "l1.db").read_bytes())
    with sqlite3.connect(tmp_path / "l1.db") as connection:
        connection.execute('DELETE FROM "L1PackedDiaSource"')
    connection.close()

    broken = _run("l1db", "verify", "-c", config)
    repaired = _run("l1db", "verify", "--repair", "-c", config)
    whole = _run("l1db", "verify", "-c", config)

    assert (broken.exit_code, repaired.exit_code, whole.exit_code) == (1, 0, 0)
    assert broken.stdout.startswith("broken: packed: DiaSource pixel ")
    assert "Error: 1 of the findings are not repaired" in broken.stderr
    assert repaired.stdout.startswith("repaired: packed: ")
    assert whole.stdout == ""
    assert whole.stderr.endswith("every invariant holds\n")


def test_verify_tells_its_progress_and_what_it_checked(stored: Path) -> None:
    whole, night, later = (
        _run("l1db", "verify", *options, "-c", str(stored))
        for options in ([], ["--day-obs", "2025-12-31"], ["--since", "20400101"])
    )

    assert "1 of 1 regions of the sky checked\n" in whole.stderr
    for found in (whole, night):
        assert "checked ledger entries: 4\n" in found.stderr
        assert "checked packed: " in found.stderr
    assert "checked settings: 1\n" in whole.stderr
    assert "checked settings" not in night.stderr
    assert "checked ledger entries: 0\n" in later.stderr
    assert (whole.exit_code, night.exit_code, later.exit_code) == (0, 0, 0)


def test_verify_takes_a_night_or_what_follows_one(stored: Path) -> None:
    both = ["--day-obs", "2026-01-01", "--since", "2026-01-01"]

    done = _run("l1db", "verify", *both, "-c", str(stored))

    assert done.exit_code == 2
    assert "give --day-obs or --since, not both" in done.stderr


def test_an_empty_database_is_told_how_to_make_tables(tmp_path: Path) -> None:
    (tmp_path / "l1.db").touch()

    done = _run("l1db", "row-counts", "-c", _config(tmp_path))

    assert done.exit_code == 1
    assert "has no L1 tables: create them with create_l1_schema" in done.stderr


def test_a_database_of_another_revision_is_refused(
    stored: Path, tmp_path: Path
) -> None:
    config = _config(tmp_path)
    (tmp_path / "l1.db").write_bytes((stored.parent / "l1.db").read_bytes())
    with sqlite3.connect(tmp_path / "l1.db") as connection:
        connection.execute("UPDATE \"L1SchemaVersion\" SET version_num = '9999'")
    connection.close()

    done = _run("l1db", "row-counts", "-c", config)

    assert done.exit_code == 1
    assert "has schema revision 9999, this package needs 0004" in done.stderr


def test_a_password_is_never_printed(tmp_path: Path) -> None:
    file = tmp_path / "l1db.cfg"
    url = "postgresql+psycopg://me:s3cr3t@127.0.0.1:1/l1db?connect_timeout=2"
    file.write_text(f"[database]\nurl = {url}\n")

    done = _run_program("l1db", "row-counts", "-v", "-v", "-c", file)

    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert "s3cr3t" not in done.stderr
