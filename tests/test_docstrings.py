"""What people call from Python describes its parameters.

That is what the Python reference lists, what the packages give, and every public name
of the modules at their roots.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("archive_assets", "l1db_pipeline")
RETIRED = "archive_assets.prototype."  # reading only; the original deprecates it
_NAME = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)$", re.MULTILINE)
_SECTION = re.compile(
    r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|\Z)", re.MULTILINE | re.DOTALL
)

Function = Callable[..., Any]


def _reachable() -> Iterator[tuple[str, object]]:
    """Yield the public functions and classes, and what callers know them by."""
    page = (ROOT / "docs" / "reference-api.md").read_text()
    for _, place in re.findall(r"auto(function|class):: (\S+)", page):
        module, _, name = place.rpartition(".")
        yield place, getattr(importlib.import_module(module), name)
    for package in PACKAGES:
        found = importlib.import_module(package)
        for name in (name for name in dir(found) if not name.startswith("_")):
            yield f"{package}.{name}", getattr(found, name)
        for path in sorted((ROOT / package).glob("*.py")):
            if path.stem in {"__init__", "definitions"}:
                continue
            door = importlib.import_module(f"{package}.{path.stem}")
            for name in door.__all__:
                yield f"{package}.{path.stem}.{name}", getattr(door, name)


def _functions(name: str, found: object) -> Iterator[tuple[str, Function]]:
    if inspect.isclass(found) and not issubclass(found, BaseException):
        for of_class, value in vars(found).items():
            inner = getattr(value, "__func__", value)
            if inspect.isfunction(inner) and not of_class.startswith("_"):
                yield f"{name}.{of_class}", inner
    elif inspect.isfunction(found):
        yield name, found


@cache
def _described() -> dict[Function, tuple[str, set[str], set[str]]]:
    """Return name, arguments and described parameters of each function of ours."""
    described = {}
    for place, found in _reachable():
        for name, function in _functions(place, found):
            module = inspect.unwrap(function).__module__
            taken = set(inspect.signature(function).parameters) - {"self", "cls"}
            is_ours = module.partition(".")[0] in PACKAGES
            if not is_ours or not taken or name.startswith(RETIRED):
                continue
            section = _SECTION.search(inspect.getdoc(function) or "")
            names = _NAME.findall(section[1]) if section else []
            words = {w.lstrip("*") for line in names for w in line.split(", ")}
            described[function] = (name, taken, words)
    return described


def test_public_functions_describe_their_parameters() -> None:
    silent = sorted(name for name, _, words in _described().values() if not words)

    assert len(_described()) > 110
    assert silent == []


def test_every_described_parameter_is_one() -> None:
    wrong = {
        name: words - taken
        for name, taken, words in _described().values()
        if words - taken
    }

    assert wrong == {}
