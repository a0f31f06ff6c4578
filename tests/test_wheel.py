"""The wheel holds everything that the installed package reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("l1db_pipeline", "archive_assets", "visit_tables", "pipeline_runtime")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files <= names


def test_what_ships_beside_the_packages_is_in_the_wheel(names: set[str]) -> None:
    beside: list[str | Path] = [
        "dagster.yaml",
        "workspace.yaml",
        *(ROOT / "cfg").iterdir(),
    ]

    assert {f"pipeline_runtime/{(ROOT / b).relative_to(ROOT)}" for b in beside} <= names
