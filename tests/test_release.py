"""What a release says of itself agrees: version, citation, changelog, workflows."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _yaml(*parts: str) -> Any:  # Any: what the file has
    return yaml.safe_load(ROOT.joinpath(*parts).read_text())


def test_the_citation_has_the_version_of_the_package_and_its_licence() -> None:
    project, citation = PYPROJECT["project"], _yaml("CITATION.cff")

    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["title"] == project["name"]


def test_every_fragment_of_the_changelog_is_one_that_towncrier_gathers() -> None:
    kinds = {kind["directory"] for kind in PYPROJECT["tool"]["towncrier"]["type"]}
    fragments = (ROOT / "changelog.d").glob("*.md")

    wrong = [
        f.name for f in fragments if f.name.split(".")[1:-1] not in [[k] for k in kinds]
    ]

    assert wrong == []


def test_the_workflow_runs_what_a_reviewer_runs() -> None:
    steps = _yaml(".github", "workflows", "ci.yaml")["jobs"]["all"]["steps"]

    assert ".ci/run" in [step.get("run") for step in steps]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_what_workflows_make_are_targets_of_the_makefile() -> None:
    targets = {
        line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()
    }
    made = {
        words[1]
        for name in ("ci.yaml", "weekly.yaml")
        for job in _yaml(".github", "workflows", name)["jobs"].values()
        for step in job["steps"]
        if (words := step.get("run", "").split())[:1] == ["make"]
    }

    assert made - targets == {".venv/.ready"}  # $(READY)
    assert made & targets == {"bare", "test", "weekly"}
