"""What the documents promise exists: commands, targets, links."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())[
    "project"
]["scripts"]
HEAVY = ("astropy", "dagster", "matplotlib", "pandas", "rubin_scheduler", "sqlalchemy")


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README))

    assert named
    assert named <= targets


def test_every_command_of_the_readme_exists() -> None:
    table = README.split("| command | does |")[1].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if "`" in line]
    named = set(re.findall(r"`([a-z0-9_-]+)`", " ".join(rows)))

    assert named <= set(SCRIPTS)


def test_every_command_is_in_the_readme() -> None:
    assert {name for name in SCRIPTS if name not in README} <= {"log2cvs"}


@pytest.mark.parametrize(
    "document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
)
def test_every_link_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text())

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_place_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    places = re.findall(r"`([\w.]+/[\w/.]*)`", text)

    assert len(places) > 30
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_readme_is_short() -> None:
    assert README.count("\n") < 100


@pytest.mark.parametrize("command", sorted(SCRIPTS))
def test_help_is_light_and_needs_no_database(command: str) -> None:
    module = SCRIPTS[command].split(":")[0]
    assert find_spec(module), f"{command} names a module that does not exist"
    program = (
        "import runpy, sys\n"
        "sys.argv = ['command', '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('HEAVY', heavy)\n"
        "sys.exit(code)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert "HEAVY []" in done.stdout


def test_ci_tries_nothing_twice() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    proofs = [
        line for line in lines if re.search(r"\bmake --\S+ (browser|live|test)\b", line)
    ]

    assert len(proofs) == 3
    assert [line for line in lines if "--last-failed" in line or "rerun" in line] == []
    assert [line for line in proofs if "||" in line] == []
