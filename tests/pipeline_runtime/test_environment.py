import ast
import math
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline_runtime.cli import main
from pipeline_runtime.environment import (
    VARIABLES,
    Variable,
    check_environment,
    count_of,
    environment_table,
    forget_empty,
    is_set,
    seconds_of,
    text_of,
)
from pipeline_runtime.errors import EnvironmentValueError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("l1db_pipeline", "archive_assets", "visit_tables", "pipeline_runtime")
NAMES = {known.name for known in VARIABLES}
WRONG = [
    ("SENSOR_INTERVAL_S", "abc", "a whole number, at least 1"),
    ("SENSOR_INTERVAL_S", "0", "a whole number, at least 1"),
    ("SCHEDULER_SLOTS", "x", "a whole number, at least 1"),
    ("VSARCHIVE_PGPORT", "65536", "a whole number, 1 to 65535"),
    ("VSARCHIVE_CONNECT_TIMEOUT_S", "nan", "seconds, a finite number"),
    ("VSARCHIVE_STATEMENT_TIMEOUT_S", "inf", "seconds, a finite number"),
    ("VSARCHIVE_STORE_TIMEOUT_S", "-1", "seconds, a finite number"),
    ("NIGHTS_START", "2025-13-01", "a date, YYYY-MM-DD"),
    ("NIGHTLY_CRON", "6:55", "five fields of cron"),
    ("NIGHTLY_TIMEZONE", "California", "a time zone, such as"),
    ("DAGSTER_EXECUTOR", "celery", "one of multiprocess, in_process, dask"),
    ("L1DB_URL", "nonsense", "a URL such as postgresql+psycopg://"),
    ("DAGSTER_POSTGRES_URL", "nonsense", "a URL such as postgresql+psycopg2://"),
]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    WRONG,
    ids=[f"{name}={text}" for name, text, _ in WRONG],
)
def test_a_wrong_value_is_one_line_with_variable_value_and_remedy(
    name: str, text: str, expected: str
) -> None:
    done = CliRunner().invoke(main, ["env"], env={name: text})

    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: {name} must be {expected}")
    assert text in line or name.endswith("_URL")
    assert "correct it, or unset it" in line


def test_a_url_that_may_hold_a_password_is_in_no_message() -> None:
    with pytest.raises(EnvironmentValueError) as caught:
        check_environment({"L1DB_URL": "me:secret@server/l1db"})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("known", VARIABLES, ids=lambda known: known.name)
@pytest.mark.parametrize("text", ["", " "])
def test_a_variable_that_is_empty_is_not_set(
    known: Variable[object], text: str
) -> None:
    environ = {known.name: text}

    assert known.read(environ) == known.default
    assert not is_set(known.name, environ)
    forget_empty(environ)
    assert environ == {}


def test_values_have_their_types() -> None:
    environ = {
        "SCHEDULER_SLOTS": "3",
        "VSARCHIVE_STORE_TIMEOUT_S": "2.5",
        "NIGHTLY_TIMEZONE": "Europe/Paris",
    }

    assert count_of("SCHEDULER_SLOTS", environ) == 3
    assert math.isclose(seconds_of("VSARCHIVE_STORE_TIMEOUT_S", environ), 2.5)
    assert text_of("NIGHTLY_TIMEZONE", environ) == "Europe/Paris"
    check_environment(environ)


def test_the_environment_is_printed_without_what_is_empty() -> None:
    done = CliRunner().invoke(
        main, ["env"], env={"L1DB_URL": "", "L1DB_HOME": "/srv/x"}
    )

    assert "export L1DB_HOME=/srv/x\n" in done.output
    assert re.search(
        r"^export L1DB_URL='?postgresql\+psycopg:", done.output, re.MULTILINE
    )


def test_every_variable_that_is_printed_is_declared() -> None:
    printed = CliRunner().invoke(main, ["env"]).output

    assert set(re.findall(r"^export (\w+)=", printed, re.MULTILINE)) <= NAMES


@cache
def _trees() -> list[tuple[Path, ast.Module]]:
    return [
        (path, ast.parse(path.read_text()))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def test_variables_are_read_by_their_declaration_alone() -> None:
    offenders = []
    for path, tree in _trees():
        if path == ROOT / "pipeline_runtime" / "environment.py":
            continue
        if not re.search("environ|getenv", path.read_text()):
            continue
        for node in ast.walk(tree):
            text = (
                ast.unparse(node) if isinstance(node, ast.Call | ast.Subscript) else ""
            )
            if re.match(r"(os\.)?(environ(\.get\(|\[)|getenv\()['\"]", text):
                offenders.append(f"{path.relative_to(ROOT)}: {text}")

    # those of the process, not of the product
    assert [text for text in offenders if not re.search("PATH|PYTHONPATH", text)] == []


def _last_name(function: ast.expr) -> str:
    return str(getattr(function, "attr", getattr(function, "id", "")))


def test_what_click_and_dagster_read_by_name_is_declared() -> None:
    named = {
        str(node.value)
        for _, tree in _trees()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for node in [
            *(word.value for word in call.keywords if word.arg == "envvar"),
            *(call.args if _last_name(call.func) == "EnvVar" else ()),
        ]
        if isinstance(node, ast.Constant)
    }

    assert {"L1DB_URL", "L1DB_CONFIG"} <= named
    assert named <= NAMES


def test_the_documents_have_the_table() -> None:
    document = (ROOT / "docs" / "environment.md").read_text()

    assert environment_table() in document, (
        "python -m pipeline_runtime.environment prints it"
    )


IMPORT_WITH_EACH = """
import os, sys
import dagster

for name, text in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    if not (child := os.fork()):
        os.environ[name] = text
        import archive_assets.definitions
        archive_assets.definitions.defs()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("exit code", os.waitstatus_to_exitcode(status), file=sys.stderr, flush=True)
"""
"""Dagster is imported once for all of them."""


def test_the_definitions_say_which_variable_is_wrong(tmp_path: Path) -> None:
    variants = (ROOT / "archive_assets/simulation/variants.yaml").read_text()
    file = tmp_path / "variants.yaml"
    file.write_text(re.sub(r"(?ms)^  simonyi:.*?(?=^  \w)", "", variants))
    wrong = {
        "SENSOR_INTERVAL_S": "abc",
        "SCHEDULER_SLOTS": "x",
        "PRENIGHT_VARIANTS": str(file),
    }

    pairs = [word for pair in wrong.items() for word in pair]
    told = subprocess.run(
        [sys.executable, "-c", IMPORT_WITH_EACH, *pairs],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stderr.split("exit code 1\n")  # fmt: skip

    assert told.pop() == ""
    for (name, text), words in zip(wrong.items(), told, strict=True):
        last = words.rstrip().splitlines()[-1]
        assert name in last
        assert text in last
