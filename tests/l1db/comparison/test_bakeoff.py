"""The bake-off: its plan, its verdict, its report."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from l1db_pipeline.cli.compare import main
from l1db_pipeline.comparison.bakeoff import BakeOff, run_bakeoff
from l1db_pipeline.comparison.plan import PlanError, read_plan
from l1db_pipeline.comparison.published import published_runs
from l1db_pipeline.comparison.report import write_comparison

TWO_ALIKE = """databases: {d: x}
configurations: [{name: a-b, database: d}, {name: A_b, database: d}]
"""
EXAMPLES = sorted((Path(__file__).parents[3] / "cfg").glob("compare*.yaml"))
SMALL = """
visits: 5
fields: 2
variables_per_field: 30
n_transients: 20
daily_every: 2
databases:
  sqlite: sqlite:///{folder}/{name}.db
  postgresql: ${TEST_URL}
configurations:
"""
LAST = "dia_object_index: last_object_table"
NIGHTLY = "object_last_replace: 1, dia_object_nightly: 1"
SQLITE = [
    "{name: base, database: sqlite, dia_object_index: baseline, history: rows}",
    "{name: htm, database: sqlite, dia_object_index: htm20_id_iov, history: packed}",
    f"{{name: last, database: sqlite, {LAST}, history: rows}}",
    f"{{name: night, database: sqlite, {LAST}, {NIGHTLY}, source_select: by-oid}}",
]


def plan_file(folder: Path, configurations: list[str], head: str = SMALL) -> Path:
    path = folder / "plan.yaml"
    path.write_text(head + "".join(f"  - {text}\n" for text in configurations))
    return path


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> BakeOff:
    folder = tmp_path_factory.mktemp("bakeoff")
    plan = read_plan(plan_file(folder, SQLITE), {"TEST_URL": "unused"})
    return run_bakeoff(plan, folder)


def test_candidates_hold_the_same_content(bakeoff: BakeOff) -> None:
    assert bakeoff.differing == {}
    assert [r.row_counts["DiaSource"] > 200 for r in bakeoff.results] == [True] * 4
    assert len({tuple(sorted(r.digest.items())) for r in bakeoff.results}) == 1


def test_the_report_has_tables_pictures_and_the_published_hardware(
    bakeoff: BakeOff, tmp_path: Path
) -> None:
    page = write_comparison(tmp_path, bakeoff).read_text()

    assert "hold the same science content" in page
    assert "not comparable" in page
    assert "E5-2680v4" in page
    assert page.count("data:image/png;base64,") == 4
    for name in ("side-by-side", "growth", "sizes", "published"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_differing_content_is_told_where(bakeoff: BakeOff, tmp_path: Path) -> None:
    first, second, *others = bakeoff.results
    wrong = replace(second, digest={**second.digest, "DiaSource": "other"})
    spoilt = replace(bakeoff, results=(first, wrong, *others))

    assert list(spoilt.differing) == ["htm"]
    assert "DiaSource" in spoilt.differing["htm"]
    page = write_comparison(tmp_path, spoilt).read_text()
    assert "Science content differs" in page


@pytest.mark.postgresql
def test_postgresql_and_sqlite_hold_the_same(tmp_path: Path, database_url: str) -> None:
    plan = plan_file(
        tmp_path,
        [
            f"{{name: pg-last, database: postgresql, {LAST}, history: packed}}",
            SQLITE[0],
        ],
    )

    result = CliRunner().invoke(
        main,
        ["-o", str(tmp_path / "out"), "-n", "3", str(plan)],
        env={"TEST_URL": database_url},
    )

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "index.html").exists()
    assert (tmp_path / "out" / "pg-last.cfg").stat().st_mode & 0o077 == 0


def test_candidates_with_the_same_tables_are_refused(tmp_path: Path) -> None:
    alike = [f"{{name: {name}, database: sqlite, prefix: mine_}}" for name in "ab"]
    head = SMALL.replace("{name}.db", "one.db")
    plan = read_plan(plan_file(tmp_path, alike, head), {"TEST_URL": "unused"})

    with pytest.raises(PlanError, match="a and b have the same tables"):
        run_bakeoff(plan, tmp_path)


@pytest.mark.mariadb
def test_candidates_on_mariadb_have_tables_of_their_own(
    mariadb_url: str, tmp_path: Path
) -> None:
    plan = read_plan(
        plan_file(
            tmp_path,
            [
                f"{{name: rows, database: mariadb, {LAST}, history: rows}}",
                f"{{name: packed, database: mariadb, {LAST}, history: packed}}",
            ],
            SMALL.replace("postgresql: ", "mariadb: "),
        ),
        {"TEST_URL": mariadb_url},
    )

    done = run_bakeoff(plan, tmp_path / "out")

    assert done.differing == {}
    assert [result.row_counts["DiaSource"] > 200 for result in done.results] == [
        True
    ] * 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_eight_configurations_or_more(example: Path) -> None:
    urls = {
        "L1DB_URL": "postgresql+psycopg://nowhere/l1db",
        "L1DB_MARIADB_URL": "mysql+pymysql://nowhere/l1db",
    }

    plan = read_plan(example, urls)

    assert len(plan.candidates) >= 8
    assert {c.database for c in plan.candidates} == set(plan.databases)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("visits: 5", "configurations must be a list"),
        ("visits: many\n" + "configurations: [{name: a}]", "has database ''"),
        ("speed: 5\nconfigurations: []", "unknown keys speed"),
        (
            (
                "databases: {d: x}\nstart_time: 2026-01-01 00:00:00\n"
                "configurations: [{name: a, database: d}]"
            ),
            "start_time 2026-01-01 00:00:00 has no time zone: write Z",
        ),
        (
            (
                "databases: {d: x}\nstart_time: '2026-01-01T00:00:00'\n"
                "configurations: [{name: a, database: d}]"
            ),
            "start_time 2026-01-01 00:00:00 has no time zone: write Z",
        ),
        ("- 1", "the plan must map names to values"),
        ("visits: [", "is not plain YAML"),
        ("!!python/object/apply:os.system [ls]", "is not plain YAML"),
        (
            "databases: {d: x}\nvisits: 0\nconfigurations: [{name: a, database: d}]",
            "visits must be a whole number",
        ),
        (
            "databases: {d: x}\nconfigurations: [{name: ../a, database: d}]",
            "needs a name of letters",
        ),
        (
            TWO_ALIKE,
            "two configurations are named",
        ),
        (
            "databases: {d: '${NOT_SET_ANYWHERE}'}\nconfigurations: []",
            "needs the environment variable NOT_SET_ANYWHERE",
        ),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)

    with pytest.raises(PlanError, match=complaint):
        read_plan(path, {})


def test_a_wrong_option_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = plan_file(tmp_path, ["{name: a, database: sqlite, history: lines}"])

    result = CliRunner().invoke(
        main, ["-o", str(tmp_path / "out"), str(path)], env={"TEST_URL": "x"}
    )

    assert result.exit_code == 1
    assert "history = lines is none of" in result.output
    assert not list((tmp_path / "out").glob("*.db"))


def test_every_published_run_names_its_hardware() -> None:
    runs = published_runs()

    assert len(runs) == 28
    assert all(run.hardware and run.points for run in runs)
