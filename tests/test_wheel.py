"""The wheel and the sdist are whole, and serve a site without the extras.

The bare installation of these tests is a folder with the unpacked wheel and links to
what the base installation depends on, and to nothing else.
"""

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from psycopg.conninfo import conninfo_to_dict

from pipeline_runtime.extras import EXTRA_OF, how_to_install

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("l1db_pipeline", "archive_assets", "visit_tables", "pipeline_runtime")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
from click.testing import CliRunner
done = []
for module, function, words in json.loads(sys.argv[2]):
    command = getattr(importlib.import_module(module), function)
    result = CliRunner().invoke(command, words, prog_name="program")
    done.append((result.exit_code, result.stdout, result.stderr))
print(json.dumps(done))
"""
EVERY_HELP = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
import click
from click.testing import CliRunner
def helps(command):
    result = CliRunner().invoke(command, ["--help"])
    # those of upstream's apdb-cli are read from its own package
    named = "l1db-pipeline[apdb]" in result.output
    assert result.exit_code == 0 or named, (command.name, result.output)
    if not isinstance(command, click.Group):
        return 1
    context = click.Context(command)
    names = command.list_commands(context)
    return sum(helps(command.get_command(context, name)) for name in names)
programs = [word.split(":") for word in sys.argv[2:]]
print(sum(helps(getattr(importlib.import_module(m), f)) for m, f in programs))
"""

Result = tuple[int, str, str]
"""Exit code, standard output and error of a program."""
Bare = Callable[..., str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel of this tree."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """Return the wheel of this tree."""
    (made,) = built.glob("*.whl")
    return made


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert files <= _names(wheel)


def test_what_ships_beside_the_packages_is_in_the_wheel(wheel: Path) -> None:
    beside: list[str | Path] = [
        "dagster.yaml",
        "workspace.yaml",
        *(ROOT / "cfg").iterdir(),
    ]

    assert {
        f"pipeline_runtime/{(ROOT / b).relative_to(ROOT)}" for b in beside
    } <= _names(wheel)


def test_the_sdist_has_all_that_the_wheel_is_built_from(
    built: Path, wheel: Path
) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    of_packages = {n for n in _names(wheel) if (ROOT / n).is_file()}
    beside = {"dagster.yaml", "workspace.yaml", "LICENSE", "README.md"}
    assert len(of_packages) > 300
    assert (of_packages | beside | {"pyproject.toml", "cfg/l1db-pg.cfg"}) <= names


def _closure(requirements: list[str]) -> Iterator[str]:
    """Yield the distributions that are installed for some requirements."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        if (key := (wanted.name, frozenset(wanted.extras))) in seen:
            continue
        seen.add(key)
        yield wanted.name
        for text in distribution(wanted.name).requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra})
                for extra in ("", *wanted.extras)
            ):
                waiting.append(inner)


def _link(folder: Path, requirements: list[str]) -> None:
    """Link what some requirements install into a folder."""
    found = {name: distribution(name) for name in set(_closure(requirements))}
    files = {
        (name, file.parts[:2])
        for name, one in found.items()
        for file in one.files or ()
        if ".." not in file.parts
    }
    owners = Counter(first for _, first in {(name, f[0]) for name, f in files})
    for name, parts in files:
        # a folder that several share, such as lsst/, is made here
        place = Path(*parts[: 2 if owners[parts[0]] > 1 else 1])
        link = folder / place
        if not link.is_symlink():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(str(found[name].locate_file(place))))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """Return what runs a code in the base installation."""
    folder = tmp_path_factory.mktemp("bare")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    _link(folder, PROJECT["dependencies"])

    def run(code: str, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, folder, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder.parent,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _results(bare: Bare, *lines: list[str]) -> list[Result]:
    """Return what some command lines give in the base installation."""
    words = [
        (*PROJECT["scripts"][program].split(":"), rest) for program, *rest in lines
    ]
    return [
        (code, out, err) for code, out, err in json.loads(bare(RUN, json.dumps(words)))
    ]


def test_every_command_has_its_help_in_a_bare_installation(bare: Bare) -> None:
    assert int(bare(EVERY_HELP, *PROJECT["scripts"].values())) > 60


def test_a_bare_installation_serves_an_archive_and_an_l1_database(
    bare: Bare, database_dsn: str, database_url: str, tmp_path: Path
) -> None:
    ini = tmp_path / "l1db.cfg"
    ini.write_text(f"[database]\nurl = {database_url}\n")
    archive = ["vseqarchive", *_options(database_dsn)]
    of_ini = ["-c", str(ini)]

    made, found, tables, verified, report = _results(
        bare,
        [*archive, "schema", "create"],
        [*archive, "search", "--format", "json"],
        ["create_l1_schema", *of_ini],
        ["l1db", "verify", *of_ini],
        ["l1db-report", "-o", str(tmp_path / "out"), *of_ini],
    )

    assert (made[0], tables[0]) == (0, 0)
    assert found[:2] == (0, "[]\n")
    assert verified[0] == 0
    assert verified[2].endswith("every invariant holds\n")
    assert report == (
        1,
        "",
        f"Error: matplotlib is not installed: {how_to_install('report')}\n",
    )


def _options(dsn: str) -> list[str]:
    parts = conninfo_to_dict(dsn)
    names = {"--database": "dbname", "--host": "host", "--user": "user"}
    return [
        str(word)
        for option, key in names.items()
        if key in parts
        for word in (option, parts[key])
    ]


def test_what_needs_an_extra_names_it_in_one_line(bare: Bare) -> None:
    services, variants = _results(
        bare, ["l1db-services", "start"], ["prenight", "variants"]
    )

    for (code, _, line), extra in ((services, "embedded"), (variants, "simulation")):
        assert code == 1
        assert line.startswith("Error: ")
        assert line.count("\n") == 1
        assert f"pip install 'l1db-pipeline[{extra}]'" in line


def test_each_optional_import_is_of_an_extra_that_has_it_and_not_of_the_base() -> None:
    base = {Requirement(text).name for text in PROJECT["dependencies"]}
    of_extra = {
        extra: {Requirement(text).name for text in texts}
        for extra, texts in PROJECT["optional-dependencies"].items()
    }

    for package, extra in EXTRA_OF.items():
        assert package.replace("_", "-") in of_extra[extra], package
        assert package.replace("_", "-") not in base, package
