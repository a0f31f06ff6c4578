"""The bake-off: its plan, its verdict, its report."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from l1db_pipeline.cli.compare import main
from l1db_pipeline.comparison.answer import Answer
from l1db_pipeline.comparison.bakeoff import BakeOff, run_bakeoff
from l1db_pipeline.comparison.plan import PlanError, read_plan
from l1db_pipeline.comparison.published import published_runs
from l1db_pipeline.comparison.report import write_comparison

NIL_UUID = "00000000-0000-0000-0000-000000000000"
TWO_ALIKE = """databases: {d: x}
configurations: [{name: a-b, database: d}, {name: A_b, database: d}]
"""
EXAMPLES = sorted((Path(__file__).parents[3] / "cfg").glob("compare*.yaml"))
SMALL = """
visits: 8
repeat: 2
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
def report(bakeoff: BakeOff, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(tmp_path_factory.mktemp("report"), bakeoff)


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> BakeOff:
    folder = tmp_path_factory.mktemp("bakeoff")
    plan = read_plan(plan_file(folder, SQLITE), {"TEST_URL": "unused"})
    return run_bakeoff(plan, folder)


def test_candidates_hold_the_same_content(bakeoff: BakeOff) -> None:
    assert bakeoff.differing == {}
    assert [r.row_counts["DiaSource"] > 200 for r in bakeoff.results] == [True] * 4
    assert {len(r.digests) for r in bakeoff.results} == {2}


def test_every_visit_of_every_repeat_is_measured(bakeoff: BakeOff) -> None:
    for result in bakeoff.results:
        costs = result.costs
        assert costs.cpu_s.shape == costs.wall_s.shape == (2, 8)
        assert (costs.client_s > 0).all()
        assert (costs.log_bytes > 0).all()
        assert (costs.steps_s["L1-store"] > 0).all()
        visits, sizes = zip(*result.sizes, strict=True)
        assert (visits[0], visits[-1]) == (1, 8)
        assert sizes[-1] > sizes[0]


def test_the_json_beside_the_page_has_the_answer_and_what_was_measured(
    bakeoff: BakeOff, report: Path
) -> None:
    found = json.loads(report.with_name("comparison.json").read_text())

    assert found["same_content"] is True
    assert found["headline"] == Answer(bakeoff).headline
    assert found["depth"] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(found["measured"]["night"]["wall_s"]) == 2


def test_the_page_has_the_answer_pictures_and_the_published_hardware(
    bakeoff: BakeOff, report: Path
) -> None:
    page = report.read_text()

    assert f"<h1>{Answer(bakeoff).headline}</h1>" in page
    assert "all 4 hold the same objects" in page.partition("<table>")[0]
    assert "not comparable" in page
    assert "E5-2680v4" in page
    assert page.count("data:image/png;base64,") == 4
    for name in ("costs", "growth", "sizes", "published"):
        assert report.with_name(f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_differing_content_is_told_where(bakeoff: BakeOff) -> None:
    first, second, *others = bakeoff.results
    other = {**second.digests[0], "DiaSource": "other"}
    wrong = replace(second, digests=(second.digests[0], other))
    spoilt = replace(bakeoff, results=(first, wrong, *others))

    assert list(spoilt.differing) == ["htm"]
    assert "DiaSource" in spoilt.differing["htm"]
    assert "Science content differs" in next(Answer(spoilt).points())


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
        ["-o", str(tmp_path / "out"), "-n", "3", "--repeat", "1", str(plan)],
        env={"TEST_URL": database_url},
    )

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "index.html").exists()
    measured = json.loads((tmp_path / "out" / "comparison.json").read_text())
    costs = measured["measured"]["pg-last"]
    assert min(costs["server_s"][0]) > 0, "the server's CPU is counted"
    assert min(costs["log_bytes"][0]) > 0
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
    for result in done.results:
        assert result.row_counts["DiaSource"] > 200
        assert (result.costs.server_s > 0).all()
        assert (result.costs.log_bytes > 0).all()


def test_options_take_the_place_of_a_plan(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        [
            "-o", str(tmp_path), "-n", "2", "--fields", "30,-30", "--variables", "20",
            "--transients", "0", "--backend", "sqlite", "--index", "baseline",
        ],
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "2 visits are too few for a verdict" in result.output
    assert "hold the same objects" in result.output
    made = sorted(path.stem for path in tmp_path.glob("*.cfg"))
    assert made == ["sqlite-baseline-packed", "sqlite-baseline-rows"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--backend", "sqlite", __file__], "PLAN lists the configurations"),
        (["--fields", "1,2", "--visits", "x.db"], "exclude each other"),
        (["--backend", "paper"], "unknown backend 'paper': use sqlite"),
        (["--backend", "mariadb"], "backend mariadb needs L1DB_MARIADB_URL"),
        (["--backend", "sqlite", "--visits", "none.db"], "none.db"),
        (["--backend", "sqlite", "--visits", NIL_UUID], "fetch its visits, `vseqarch"),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_made(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    out = tmp_path / "out"

    result = CliRunner().invoke(
        main, ["-o", str(out), *arguments], env={"L1DB_MARIADB_URL": ""}
    )

    assert result.exit_code in {1, 2}
    assert complaint in result.output
    assert not out.exists()


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
        (
            (
                "databases: {d: x}\nfields: [[400, 0]]\n"
                "configurations: [{name: a, database: d}]"
            ),
            "fields has \\[400, 0\\]: each",
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
    assert "history = lines is not one of" in result.output
    assert not list((tmp_path / "out").glob("*.db"))


def test_every_published_run_names_its_hardware() -> None:
    runs = published_runs()

    assert len(runs) == 28
    assert all(run.hardware and run.points for run in runs)
