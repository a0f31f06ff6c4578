"""The variants of a night, read from a YAML file that a site edits."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from archive_assets.simulation.base import Telescope, Variant
from archive_assets.simulation.errors import UnknownVariantError, VariantError
from pipeline_runtime.documents import DocumentError, parse_yaml, read_file
from pipeline_runtime.environment import text_of

__all__ = ["TelescopePlan", "load_variants", "variants_file"]

VARIANTS_VARIABLE = "PRENIGHT_VARIANTS"
_BUILTIN_FILE = Path(__file__).with_name("variants.yaml")
_VERSION = 1
_MOST_BYTES = 1_000_000
_PLAINER = {
    "unexpected_keyword_argument": "unknown key",
    "missing": "is missing",
    "missing_argument": "is missing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TelescopePlan:
    """What is simulated for a telescope, nominal first.

    Attributes
    ----------
    nights
        How many nights each simulation covers.
    variants
        In the order in which they are simulated.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    nights: int
    variants: tuple[Variant, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.nights <= 400:
            raise ValueError(f"nights must be 1 to 400, not {self.nights}")
        if not self.variants:
            raise ValueError("there are no variants")
        names = [variant.name for variant in self.variants]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two variants are called {', '.join(repeated)}")
        if "nominal" not in self.variants[0].tags:
            raise ValueError(
                f"the first variant, {names[0]}, is not tagged nominal: "
                "the nominal one comes first"
            )

    @property
    def nominal(self) -> Variant:
        """The variant with which the others are compared."""
        return self.variants[0]

    def chosen(self, names: tuple[str, ...] = ()) -> tuple[Variant, ...]:
        """Return the variants of some names, in the file's order; all without names.

        Raises
        ------
        UnknownVariantError
            If a name is not known.
        """
        known = [variant.name for variant in self.variants]
        for name in names:
            if name not in known:
                raise UnknownVariantError(
                    f"there is no variant {name!r}: choose from {', '.join(known)}"
                )
        return tuple(v for v in self.variants if not names or v.name in names)


def variants_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the variants file: ``$PRENIGHT_VARIANTS``, or the one that comes along."""
    chosen = text_of(VARIANTS_VARIABLE, environ)
    return Path(chosen).expanduser() if chosen else _BUILTIN_FILE


def load_variants(path: Path | None = None) -> dict[Telescope, TelescopePlan]:
    """Read and check a variants file.

    Parameters
    ----------
    path
        The file; by default that of `variants_file`.

    Raises
    ------
    VariantError
        With every mistake and where it is.
    """
    path = variants_file() if path is None else path
    document = _parse(path)
    version = document.get("version")
    if version != _VERSION:
        raise VariantError(f"{path}: version must be {_VERSION}, not {version!r}")
    if unknown := sorted(map(str, document.keys() - {"version", "telescopes"})):
        raise VariantError(f"{path}: unknown keys: {', '.join(unknown)}")
    try:
        return TypeAdapter(dict[Telescope, TelescopePlan]).validate_python(
            document.get("telescopes")
        )
    except ValidationError as error:
        raise VariantError(
            f"{path}: " + "; ".join(_mistakes(error, document))
        ) from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        document = parse_yaml(read_file(path, _MOST_BYTES), path)
    except OSError as error:
        raise VariantError(f"{path} cannot be read: {error.strerror}") from error
    except DocumentError as error:
        raise VariantError(str(error)) from error
    if not isinstance(document, dict):
        raise VariantError(f"{path} must hold version and telescopes")
    return document


def _mistakes(error: ValidationError, document: dict[str, Any]) -> list[str]:
    """Return one text a mistake: where it is, then what is wrong."""
    texts = []
    for mistake in error.errors(include_url=False):
        where = _place(mistake["loc"], document.get("telescopes"))
        said = mistake["msg"].removeprefix("Value error, ")
        said = _PLAINER.get(mistake["type"], said)
        texts.append(f"{where}: {said}" if where else said)
    return texts


def _place(location: tuple[int | str, ...], telescopes: Any) -> str:  # any YAML value
    """Return a place in the file, with variants by name instead of number."""
    words = []
    value = telescopes
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(step, int) and isinstance(value, dict) and "name" in value:
            words.append(str(value["name"]))
        elif step != "[key]":
            words.append(str(step))
    return ".".join(words)
