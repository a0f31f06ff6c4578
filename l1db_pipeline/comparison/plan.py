"""The plan of a comparison: a YAML file of visits and configurations."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

from l1db_pipeline.errors import ConfigError
from pipeline_runtime.documents import DocumentError, parse_yaml, read_file

__all__ = ["Candidate", "ComparisonPlan", "PlanError", "read_plan"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}", re.ASCII)
_MOST_BYTES = 1_000_000
_FULL_CIRCLE_DEG = 360.0


class PlanError(ConfigError):
    """The plan of a comparison cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One configuration that takes part."""

    name: str
    database: str
    """Key of `ComparisonPlan.databases`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of section ``[l1db]`` of the INI file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonPlan:
    """The same visits for every candidate."""

    candidates: tuple[Candidate, ...]
    databases: Mapping[str, str]
    """Name to SQLAlchemy URL; ``{folder}`` and ``{name}`` are filled in."""
    visits: int = 50
    """How many; of a file the first ones."""
    fields: int = 3
    """Fields of the southern sky that the visits observe in turn."""
    fields_deg: tuple[tuple[float, float], ...] = ()
    """RA and Dec (ICRS) of the fields, instead of random ones."""
    visits_file: str = ""
    """Opsim file or visits.h5 whose visits are made, instead of fields in turn."""
    repeat: int = 1
    """How often all visits are made, each time in empty tables."""
    variables_per_field: int = 500
    n_transients: int = 500
    """Mean number of transients and false detections in a visit."""
    seed: int = 1
    start_time: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    interval_s: int = 45
    daily_every: int = 20
    """Visits between daily jobs, which merge DiaObjectNightly."""
    fill: bool = False


def read_plan(path: Path, environ: Mapping[str, str] | None = None) -> ComparisonPlan:
    """Read a plan; ``${VARIABLE}`` in a URL comes from the environment.

    Raises
    ------
    PlanError
        If the file cannot be read, has unknown keys or values out of range, or a
        variable is not set.
    """
    try:
        content = parse_yaml(read_file(path, _MOST_BYTES), path)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from error
    except DocumentError as error:
        raise PlanError(str(error)) from error
    try:
        return _plan(content, os.environ if environ is None else environ)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error


def _plan(content: object, environ: Mapping[str, str]) -> ComparisonPlan:
    mapping = _mapping("the plan", content)
    known = {f.name for f in fields(ComparisonPlan)} - {"candidates", "fields_deg"}
    _check_keys("the plan", mapping, known | {"configurations"})
    databases = {
        name: _filled(name, url, environ)
        for name, url in _mapping("databases", mapping.get("databases", {})).items()
    }
    candidates = tuple(_candidates(mapping.get("configurations"), databases))
    values: dict[str, Any] = {}
    if isinstance(mapping.get("fields"), list):
        values["fields_deg"] = tuple(map(_place, mapping.pop("fields")))
    given = [name for name in _LIMITS if name in mapping]
    values |= {name: _number(name, mapping[name]) for name in given}
    if "visits_file" in mapping:
        values["visits_file"] = str(mapping["visits_file"])
    if "start_time" in mapping:
        values["start_time"] = _time(mapping["start_time"])
    if "fill" in mapping:
        if not isinstance(mapping["fill"], bool):
            raise PlanError(f"fill is true or false, not {mapping['fill']!r}")
        values["fill"] = mapping["fill"]
    return ComparisonPlan(candidates=candidates, databases=databases, **values)


_LIMITS = {
    "visits": (1, 1_000_000),
    "fields": (1, 2_000),
    "repeat": (1, 1_000),
    "variables_per_field": (0, 1_000_000),
    "n_transients": (0, 500_000),
    "seed": (0, 2**63 - 1),
    "interval_s": (1, 86_400),
    "daily_every": (1, 1_000_000),
}


def _candidates(content: object, databases: Mapping[str, str]) -> Iterator[Candidate]:
    if not isinstance(content, list) or not content:
        raise PlanError("configurations must be a list of at least one")
    names = set()
    for number, item in enumerate(content, start=1):
        mapping = dict(_mapping(f"configuration {number}", item))
        name = str(mapping.pop("name", ""))
        if not _NAME.fullmatch(name):
            raise PlanError(
                f"configuration {number} needs a name of letters, digits, - and _, "
                f"a letter first, 40 at most; it has {name!r}"
            )
        if name.lower().replace("-", "_") in names:
            raise PlanError(f"two configurations are named {name}")
        names.add(name.lower().replace("-", "_"))
        database = str(mapping.pop("database", ""))
        if database not in databases:
            raise PlanError(
                f"configuration {name} has database {database!r}; known: "
                f"{', '.join(databases) or 'none, add databases'}"
            )
        yield Candidate(
            name=name,
            database=database,
            options={key: _option(value) for key, value in mapping.items()},
        )


def _mapping(what: str, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise PlanError(f"{what} must map names to values")
    return {str(key): value for key, value in content.items()}


def _check_keys(what: str, mapping: Mapping[str, object], known: set[str]) -> None:
    if unknown := sorted(set(mapping) - known):
        raise PlanError(
            f"{what} has unknown keys {', '.join(unknown)}; known: "
            f"{', '.join(sorted(known))}"
        )


def _filled(name: str, url: object, environ: Mapping[str, str]) -> str:
    try:
        return Template(str(url)).substitute(environ)
    except KeyError as error:
        raise PlanError(
            f"database {name} needs the environment variable {error.args[0]}, "
            "which is not set"
        ) from error
    except ValueError as error:
        raise PlanError(f"database {name}: {error}") from error


def _number(name: str, value: object) -> int:
    low, high = _LIMITS[name]
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not low <= value <= high
    ):
        raise PlanError(
            f"{name} must be a whole number, {low} to {high}, not {value!r}"
        )
    return value


def _place(value: object) -> tuple[float, float]:
    match value:
        case [int() | float() as ra, int() | float() as dec] if (
            0 <= ra < _FULL_CIRCLE_DEG and abs(dec) <= _FULL_CIRCLE_DEG / 4
        ):
            return float(ra), float(dec)
        case _:
            pass
    raise PlanError(
        f"fields has {value!r}: each field is [ra, dec] in degrees, 0 <= ra < 360 and "
        "-90 <= dec <= 90"
    )


def _time(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise PlanError(f"start_time {value!r} is not an ISO time") from error
    if not isinstance(value, datetime):
        raise PlanError(f"start_time must be a time, not {value!r}")
    if value.utcoffset() is None:
        raise PlanError(
            f"start_time {value} has no time zone: write Z or an offset after it"
        )
    return value


def _option(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
