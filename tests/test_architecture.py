"""The layering of the two packages, enforced on their source."""

import ast
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("l1db_pipeline", "archive_assets")
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "versions" not in path.parts
)
CORES = [
    path
    for path in MODULES
    if "defs" not in path.parts and path.name != "definitions.py"
]
MAX_LINES = 500


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("path", CORES, ids=_name)
def test_a_core_never_imports_dagster(path: Path) -> None:
    imported = {name.split(".")[0] for name in _imports(ast.parse(path.read_text()))}

    assert not {name for name in imported if name.startswith("dagster")}


@pytest.mark.parametrize("path", CORES, ids=_name)
def test_the_packages_meet_only_in_defs(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    other = next(name for name in PACKAGES if name != package)
    imported = {name.split(".")[0] for name in _imports(ast.parse(path.read_text()))}

    assert other not in imported


def _part(module: str) -> str:
    """Return the first name below the package: a folder or a module."""
    return module.split(".")[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_parts_of_a_package_import_one_way(package: str) -> None:
    """Imports inside functions are left out: an original name's command is one."""
    imports: dict[str, set[str]] = {}
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.startswith(f"{package}.") and path.name != "__init__.py":
            found = imports.setdefault(_part(name), set())
            found |= {
                _part(f"{imported}.{alias}")
                for imported, alias in _imports_at_load(ast.parse(path.read_text()))
                if imported.split(".")[0] == package
            } - {_part(name)}

    assert tuple(TopologicalSorter(imports).static_order())  # CycleError names them


def _imports_at_load(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_has_one_subject_and_says_which(path: Path) -> None:
    source = path.read_text()

    assert ast.get_docstring(ast.parse(source)), "the first line says what it is"
    assert source.count("\n") <= MAX_LINES, "split it: look for its second subject"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_is_a_drawer(path: Path) -> None:
    if path.relative_to(ROOT) == Path("archive_assets/util.py"):
        pytest.skip("the original's name, which its users import")

    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_can_run_code_from_data(path: Path) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }

    assert not calls & {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_assert_guards_a_program(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements += extra
    declared = {
        requirement.split(">")[0].split("<")[0].split("[")[0].strip().lower()
        for requirement in requirements
    }
    owners = packages_distributions()
    undeclared = set()
    for path in MODULES:
        for name in _imports(ast.parse(path.read_text())):
            top = name.split(".")[0]
            if top in PACKAGES:
                continue
            # namespace packages (lsst) belong to several distributions
            distributions = {
                found.lower().replace("_", "-") for found in owners.get(top, ())
            }
            if distributions and not distributions & declared:
                undeclared.add(f"{top} ({', '.join(distributions)}) in {_name(path)}")

    assert not undeclared
