"""The rules of the tree, proved on its source: a test a rule, which lists offenders."""

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "l1db_pipeline": {"visit_tables", "pipeline_runtime"},
    "archive_assets": {"visit_tables", "pipeline_runtime"},
    "visit_tables": set[str](),
    "pipeline_runtime": set[str](),
}
BETWEEN_DEFINITIONS = "l1db_pipeline.defs.archive"
OF_THE_ARCHIVE = {
    f"archive_assets.defs.{name}" for name in ("names", "partitions", "resources")
}
NO_DOORS = {"__init__", "definitions", "errors"}
FORMER_NAMES = ROOT / "archive_assets" / "visits"
MAX_DOOR_LINES = 40
MAX_LINES = 500
DRAWERS = {"utils", "util", "helpers", "common", "misc"}
ORIGINAL_DRAWER = "archive_assets.util"  # its users import it
DECIDES = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Match)
RUNS_DATA = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"}


@dataclass(frozen=True)
class Module:
    """A module of one of the packages, as its source has it."""

    path: Path

    @cached_property
    def name(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def source(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def package(self) -> str:
        return self.name.split(".")[0]

    @property
    def is_door(self) -> bool:
        """Whether it lies at the root of a package with the original's names."""
        has_doors = self.package in {"l1db_pipeline", "archive_assets"}
        at_root = self.path.parent in {ROOT / self.package, FORMER_NAMES}
        return has_doors and at_root and self.path.stem not in NO_DOORS

    @cached_property
    def imports(self) -> set[str]:
        """What it imports, wherever, or names as ``module:name`` in a registry."""
        found = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    found |= {alias.name for alias in names}
                case ast.ImportFrom(module=module, names=names, level=0):
                    for alias in names:
                        name = f"{module}.{alias.name}"
                        found.add(name if _is_ours(name) else str(module))
                case ast.ImportFrom():
                    found.add("a relative import")
                case ast.Constant(value=str(text)) if _is_ours(text.partition(":")[0]):
                    found |= {text.partition(":")[0]} if ":" in text else set()
        return found - {self.name}


def _is_ours(name: str) -> bool:
    """Tell whether a name with a dot is a module of ours."""
    place = ROOT.joinpath(*name.split("."))
    return (
        "." in name
        and name.split(".", maxsplit=1)[0] in MAY_IMPORT
        and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())
    )


MODULES = [
    Module(path)
    for package in MAY_IMPORT
    for path in sorted((ROOT / package).rglob("*.py"))
    if "versions" not in path.parts
]
BY_NAME = {module.name: module for module in MODULES}


def _imports_of(package: str) -> Iterator[tuple[Module, str]]:
    """Yield the modules of a package with each import of ours."""
    for module in MODULES:
        if module.package == package:
            for imported in sorted(module.imports):
                if imported.split(".")[0] in MAY_IMPORT:
                    yield module, imported


def test_packages_import_one_way() -> None:
    offenders = [
        f"{module.name} imports {imported}"
        for package, allowed in MAY_IMPORT.items()
        for module, imported in _imports_of(package)
        if imported.split(".")[0] not in allowed | {package}
        and (module.name, imported in OF_THE_ARCHIVE) != (BETWEEN_DEFINITIONS, True)
    ]

    assert offenders == []


def test_only_definitions_and_the_dagster_kit_import_dagster() -> None:
    offenders = [
        module.name
        for module in MODULES
        if not module.name.startswith("pipeline_runtime.dagster")
        and module.name.split(".")[1:2] not in (["defs"], ["definitions"])
        and any(imported.startswith("dagster") for imported in module.imports)
    ]

    assert offenders == []


def test_private_names_of_dagster_are_in_the_workarounds_alone() -> None:
    users = {
        module.name
        for module in MODULES
        for imported in module.imports
        if imported.startswith("dagster")
        and any(part.startswith("_") for part in imported.split("."))
    }

    assert [
        name
        for name in users
        if not name.startswith("pipeline_runtime.dagster.workarounds.")
    ] == []
    assert len(users) <= 3  # the launcher, the executors, the one daemon


def test_no_core_imports_a_door() -> None:
    doors = {module.name for module in MODULES if module.is_door}
    offenders = [
        f"{module.name} imports {imported}"
        for module in MODULES
        for imported in module.imports & doors
        if not module.is_door
    ]

    assert doors
    assert offenders == []


def test_a_door_only_exports_and_forwards() -> None:
    doors = [module for module in MODULES if module.is_door]
    long = [
        f"{door.name} has {_lines_of_code(door)} lines of code"
        for door in doors
        if _lines_of_code(door) > MAX_DOOR_LINES
    ]
    deciding = [
        f"{door.name}:{node.lineno}"
        for door in doors
        for part in door.tree.body
        for node in ast.walk(part)
        if isinstance(node, DECIDES)
        # a module's own decides whether it has a name
        and not (isinstance(part, ast.FunctionDef) and part.name == "__getattr__")
    ]

    assert long + deciding == []


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _documented_lines(module: Module) -> set[int]:
    return {
        line
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and _is_docstring(node)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _lines_of_code(module: Module) -> int:
    """Return how many lines have more than a comment or a part of a docstring."""
    documented = _documented_lines(module)
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(module.source).readline)
    return len(
        {token.start[0] for token in tokens if token.type not in blank} - documented
    )


def _circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of names that import each other, however indirectly."""
    names = sorted(imports.keys() | {name for of in imports.values() for name in of})
    pairs = [
        (names.index(name), names.index(imported))
        for name, of in imports.items()
        for imported in of
    ]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array(
        (np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names))
    )
    _, groups = connected_components(graph, directed=True, connection="strong")
    circles = [
        [name for name, of in zip(names, groups, strict=True) if of == group]
        for group in set(groups.tolist())
    ]
    return [circle for circle in circles if len(circle) > 1]


def test_circles_are_seen() -> None:
    chain = {first: {second} for first, second in pairwise("abcd")}

    assert _circles(chain) == []
    assert _circles(chain | {"c": {"a"}}) == [["a", "b", "c"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = {module.name: module.imports & BY_NAME.keys() for module in MODULES}

    assert _circles(imports) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_the_parts_of_a_package_import_one_way(package: str) -> None:
    imports: dict[str, set[str]] = {}
    for module, imported in _imports_of(package):
        part, other = _part(module.name), _part(imported)
        if imported.startswith(f"{package}.") and "" not in {part, other}:
            imports.setdefault(part, set()).update({other} - {part})

    assert _circles(imports) == []


def _part(module: str) -> str:
    """Return the first name below the package, a folder or a module; '' for itself."""
    return (module.split(".")[1:2] or [""])[0]


def test_a_module_has_one_subject_and_says_which() -> None:
    silent = [module.name for module in MODULES if not ast.get_docstring(module.tree)]
    long = [
        module.name
        for module in MODULES
        if module.source.count("\n") - len(_documented_lines(module)) > MAX_LINES
    ]

    assert silent == []
    assert long == [], "split it: look for its second subject"


def test_no_module_is_a_drawer() -> None:
    drawers = [module.name for module in MODULES if module.path.stem in DRAWERS]

    assert drawers == [ORIGINAL_DRAWER]


def _places(module: Module, kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(module.tree):
        if isinstance(node, kind):
            yield f"{module.name}:{getattr(node, 'lineno', 0)}", node


def test_nothing_can_run_code_from_data() -> None:
    offenders = [
        place
        for module in MODULES
        for place, node in _places(module, ast.Call)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS_DATA
    ]

    assert offenders == []


def test_no_assert_guards_a_program() -> None:
    assert [
        place for module in MODULES for place, _ in _places(module, ast.Assert)
    ] == []


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
    for module in MODULES:
        for top in {name.split(".")[0] for name in module.imports} - MAY_IMPORT.keys():
            # namespace packages (lsst) belong to several distributions
            distributions = {
                found.lower().replace("_", "-") for found in owners.get(top, ())
            }
            if distributions and not distributions & declared:
                undeclared.add(f"{top} ({', '.join(distributions)}) in {module.name}")

    assert sorted(undeclared) == []
