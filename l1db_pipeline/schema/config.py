"""Which database, which index mode, how much history: the INI file of the L1 database.

The sections, options, defaults and the 0/1 booleans are those of the prototype of
2018 (lsst-dm/l1dbproto); `L1dbConfig` lists the options that we add.
"""

from collections.abc import Callable, Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from dataclasses import dataclass, field, fields
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from l1db_pipeline.errors import ConfigError
from pipeline_runtime.documents import DocumentError, read_file
from pipeline_runtime.urls import safe_url

__all__ = ["History", "L1dbConfig", "ObjectIndex", "SourceSelect"]

_MOST_BYTES = 1_000_000
_MAX_HTM_RANGES = 100_000
_MAX_PIXEL_LEVEL = 12
_MAX_MONTHS = 12_000
_MAX_IDENTIFIER = 48  # PostgreSQL keeps 63 bytes; the longest index name needs the rest
_E = TypeVar("_E", bound=Enum)


class ObjectIndex(Enum):
    """How DiaObject versions are keyed, and where the current ones are read."""

    BASELINE = "baseline"
    """Primary key (diaObjectId, validityStart); open versions are closed."""
    HTM20_ID_IOV = "htm20_id_iov"
    """Primary key (htmId20, diaObjectId, validityStart); open versions are closed."""
    LAST_OBJECT_TABLE = "last_object_table"
    """Versions are only appended; DiaObjectLast holds the current ones, in rows, or in
    chunks with packed history."""


class SourceSelect(Enum):
    """How the DIASource history of a field of view is found."""

    BY_FOV = "by-fov"
    BY_OID = "by-oid"


class History(Enum):
    """Where source history, and DiaObjectLast if there is one, is read from."""

    ROWS = "rows"
    PACKED = "packed"


@dataclass(frozen=True, kw_only=True, slots=True)
class L1dbConfig:
    """Every option of the L1 database; defaults are the original's.

    Raises
    ------
    ConfigError
        If a value is out of its range or two options contradict each other.
    """

    url: str = field(repr=False)
    """SQLAlchemy URL; not in the text form, for it may hold a password."""
    dia_object_index: ObjectIndex = ObjectIndex.BASELINE
    dia_object_nightly: bool = False
    """New versions go to DiaObjectNightly, without index, until the nightly merge."""
    object_last_replace: bool = False
    """Upsert into DiaObjectLast instead of DELETE and INSERT; rows only."""
    read_sources_months: int = 0
    """Window of DIASource history, months of 30 days; 0 reads none."""
    read_forced_sources_months: int = 0
    """Window of DIAForcedSource history, months of 30 days; 0 reads none."""
    read_full_objects: bool = False
    """Read all columns of the objects instead of the eight short ones."""
    source_select: SourceSelect = SourceSelect.BY_FOV
    history: History = History.PACKED
    """Ours: read history from rows, or from packed chunks written beside them."""
    htm_max_ranges: int = 64
    """Ours: most HTM ranges of a region; fewer are a looser cover."""
    history_pixel_level: int = 5
    """Ours: HTM level of the pixels of packed history."""
    cell_level: int = 8
    """Ours: HTM level of the cells that tell whether what was read is still true; 10
    for single detectors."""
    schema_file: str = ""
    """Ours: Felis YAML of the tables; empty for the one of this package."""
    column_map: str = ""
    """Ours: YAML that maps our column names to those of ``schema_file``."""
    prefix: str = ""
    """Ours: prefix of every table's name."""
    namespace: str = ""
    """Ours: PostgreSQL schema of the tables; empty for the connection's default."""

    def __post_init__(self) -> None:
        if not self.url.strip():
            raise ConfigError("[database] url is empty: give an SQLAlchemy URL")
        for name, lowest, highest in (
            ("read_sources_months", 0, _MAX_MONTHS),
            ("read_forced_sources_months", 0, _MAX_MONTHS),
            ("htm_max_ranges", 2, _MAX_HTM_RANGES),
            ("history_pixel_level", 0, _MAX_PIXEL_LEVEL),
            ("cell_level", 0, _MAX_PIXEL_LEVEL),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ConfigError(f"{name} = {value} is not within {lowest}..{highest}")
        for name in ("prefix", "namespace"):
            _check_identifier(name, getattr(self, name))
        if self.column_map and not self.schema_file:
            raise ConfigError("column_map is given without schema_file: give both")
        if self.url.startswith("cassandra"):
            self._check_cassandra()
        elif self.namespace and not self.url.startswith("postgresql"):
            raise ConfigError(
                f"namespace = {self.namespace} needs PostgreSQL, the url is "
                f"{safe_url(self.url)}: use prefix instead"
            )

    def _check_cassandra(self) -> None:
        """Refuse by name what only SQL has."""
        for name, only in _ONLY_ON_CASSANDRA.items():
            value = getattr(self, name)
            if value != only:
                raise ConfigError(
                    f"{name} = {_as_text(value)} is not possible on Cassandra: "
                    + (
                        f"say {name} = {_as_text(only)}"
                        if only
                        else f"leave {name} out"
                    )
                )

    @override
    def __str__(self) -> str:
        options = (
            f"{option.name}={_as_text(getattr(self, option.name))}"
            for option in fields(self)
            if option.name != "url"
        )
        return f"{safe_url(self.url)} {' '.join(options)}"

    @classmethod
    def from_ini(cls, path: str | PathLike[str]) -> "L1dbConfig":
        """Read an INI file.

        Parameters
        ----------
        path
            The file; paths in it are relative to its folder.

        Raises
        ------
        ConfigError
            If the file cannot be read, has an unknown section or option, lacks
            the url, or has a value that is none of the choices.
        """
        file = Path(path)
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(read_file(file, _MOST_BYTES).decode(), source=str(file))
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file} is not UTF-8 text") from error
        except DocumentError as error:
            raise ConfigError(str(error)) from error
        except IniError as error:
            # the parser's own text shows the line, which may hold a password
            line = getattr(error, "lineno", None)
            where = f" (line {line})" if line else ""
            raise ConfigError(
                f"{file} is not an INI file: {type(error).__name__}{where}"
            ) from None
        _check_names(file, parser)
        if not parser.has_option("database", "url"):
            raise ConfigError(f"{file} lacks option url in section [database]")
        values: dict[str, Any] = {"url": parser.get("database", "url")}
        options = parser["l1db"] if parser.has_section("l1db") else {}
        try:
            values |= _options(options)
            for name in ("schema_file", "column_map"):
                if values.get(name):
                    values[name] = str(file.parent / Path(values[name]).expanduser())
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error


_ONLY_ON_CASSANDRA: Mapping[str, Any] = {
    "dia_object_index": ObjectIndex.LAST_OBJECT_TABLE,
    "history": History.PACKED,
    "dia_object_nightly": False,
    "object_last_replace": False,
    "prefix": "",
    "namespace": "",
}
"""Chunks are the record there: index modes, rows and tables apart are SQL's."""


def _options(section: Mapping[str, str]) -> dict[str, Any]:
    return {name: _PARSERS[name](name, text) for name, text in section.items()}


def _check_names(file: Path, parser: ConfigParser) -> None:
    known = {"database": {"url"}, "l1db": set(_PARSERS)}
    if parser.defaults():
        raise ConfigError(f"{file} has a section [DEFAULT]; known: [database], [l1db]")
    for section in parser.sections():
        if section not in known:
            raise ConfigError(
                f"{file} has an unknown section [{section}]; known: "
                + ", ".join(f"[{name}]" for name in known)
            )
        for option in parser.options(section):
            if option not in known[section]:
                raise ConfigError(
                    f"{file} has an unknown option {option} in section [{section}]; "
                    f"known: {', '.join(sorted(known[section]))}"
                )


def _check_identifier(name: str, value: str) -> None:
    if not value:
        return
    letters = value.replace("_", "")
    is_word = letters.isascii() and letters.isalnum() and not value[0].isdigit()
    if not is_word or len(value) > _MAX_IDENTIFIER:
        raise ConfigError(
            f"{name} = {value!r} is not a valid name: use letters, digits and _, no "
            f"digit first, at most {_MAX_IDENTIFIER} in all"
        )


def _as_text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _choice(choices: type[_E]) -> Callable[[str, str], _E]:
    def parse(name: str, text: str) -> _E:
        try:
            return choices(text.strip())
        except ValueError:
            words = ", ".join(str(choice.value) for choice in choices)
            raise ConfigError(f"{name} = {text} is not one of: {words}") from None

    return parse


def _flag(name: str, text: str) -> bool:
    if text.strip() not in {"0", "1"}:
        raise ConfigError(f"{name} = {text} is not one of: 0, 1")
    return text.strip() == "1"


def _count(name: str, text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise ConfigError(f"{name} = {text} is not a whole number, 0 or more")
    if len(digits) > len(str(_MAX_HTM_RANGES)) + 1:
        raise ConfigError(f"{name} = {text} is too large")
    return int(digits)


def _text(_name: str, text: str) -> str:
    return text.strip()


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    "dia_object_index": _choice(ObjectIndex),
    "dia_object_nightly": _flag,
    "object_last_replace": _flag,
    "read_sources_months": _count,
    "read_forced_sources_months": _count,
    "read_full_objects": _flag,
    "source_select": _choice(SourceSelect),
    "history": _choice(History),
    "htm_max_ranges": _count,
    "history_pixel_level": _count,
    "cell_level": _count,
    "schema_file": _text,
    "column_map": _text,
    "prefix": _text,
    "namespace": _text,
}
