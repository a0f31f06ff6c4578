"""Names that may become part of a place in the data store."""

import unicodedata

from typing_extensions import override

from archive_assets.errors import ArchiveError

__all__ = ["UnsafeNameError", "check_name"]

MAX_NAME_BYTES = 200
"""Leaves room, in the 255 of a file system, for the affixes of staging."""

_FORBIDDEN = frozenset('/\\#?%;*"<>|')
_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class UnsafeNameError(ArchiveError, ValueError):
    """A name cannot be part of a place in the data store."""

    def __init__(self, what: str, name: object, reason: str) -> None:
        super().__init__(what, name, reason)
        self.what = what
        self.name = name
        self.reason = reason

    @override
    def __str__(self) -> str:
        shown = repr(self.name)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return f"{self.what} {shown} {self.reason}"


def check_name(name: str, what: str) -> str:
    """Return a name of a telescope or file if it is safe in a URL and a path.

    Parameters
    ----------
    name
        The name.
    what
        What it names, for the message.

    Raises
    ------
    UnsafeNameError
        If it is empty, over 200 bytes of UTF-8, begins with a dot, begins or ends
        with a blank, is not in Unicode normal form C, or holds a character that
        separates parts of paths or URLs, or that cannot be seen.
    """
    if not isinstance(name, str):
        raise UnsafeNameError(what, name, "is not a text")
    if not name:
        raise UnsafeNameError(what, name, "is empty")
    for character in name:
        if character in _FORBIDDEN:
            raise UnsafeNameError(what, name, f"holds {character!r}")
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
            code = f"U+{ord(character):04X}"
            raise UnsafeNameError(what, name, f"holds the invisible character {code}")
    if name.startswith("."):
        raise UnsafeNameError(what, name, "begins with a dot")
    if name != name.strip():
        raise UnsafeNameError(what, name, "begins or ends with a blank")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise UnsafeNameError(what, name, f"is longer than {MAX_NAME_BYTES} bytes")
    if not unicodedata.is_normalized("NFC", name):
        raise UnsafeNameError(what, name, "is not in Unicode normal form C")
    return name
