"""YAML and JSON that others wrote: regular files, bounded in size and depth.

A deep YAML file ends libyaml's composer with a segmentation fault, a deep JSON text
the program with a `RecursionError`; a few aliases of aliases become gigabytes when
they are written out. A FIFO is waited for without end, ``/dev/zero`` read without end.
"""

import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "DocumentError",
    "open_regular",
    "parse_json",
    "parse_yaml",
    "read_file",
    "read_json",
    "read_stream",
]

MOST_BYTES = 64 * 1024 * 1024
MOST_DEPTH = 64
_MOST_VALUES = 2_000_000
"""Values of a YAML document with each alias written out."""


class DocumentError(PipelineRuntimeError, ValueError):
    """A file or text is not YAML or JSON that this program reads."""


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading; never wait for the other end of a FIFO.

    Raises
    ------
    OSError
        If it is not a regular file, or cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(None, "is not a regular file", str(path))


def read_file(path: str | Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        If it is not a regular file, or cannot be read.
    DocumentError
        If it is larger than ``most_bytes``.
    """
    with open_regular(path) as stream:
        return read_stream(stream, path, most_bytes)


def read_stream(stream: BinaryIO, where: object, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what is left of a stream.

    Raises
    ------
    DocumentError
        If it is longer than ``most_bytes``.
    """
    pieces = []
    left = most_bytes + 1
    while left and (piece := stream.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise DocumentError(f"{where} is larger than {most_bytes} bytes")
    return b"".join(pieces)


def read_json(path: str | Path) -> Any:  # Any: whatever JSON can say
    """Return what a JSON file says; see `read_file` and `parse_json`."""
    return parse_json(read_file(path), path)


def parse_json(text: str | bytes, where: object) -> Any:  # Any: as above
    """Return what a JSON text says.

    Parameters
    ----------
    text
        The text.
    where
        What it is, for messages.

    Raises
    ------
    DocumentError
        If it is not JSON, too large or too deep.
    """
    _check_size(text, where)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        raise DocumentError(f"{where} is not JSON: {error}") from error
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return value
    raise _too_deep(where)


def parse_yaml(text: str | bytes, where: object) -> Any:  # Any: whatever YAML can say
    """Return what a YAML text says, made of plain values only; see `parse_json`.

    Raises
    ------
    DocumentError
        If it is not plain YAML, too large or too deep.
    """
    import yaml  # noqa: PLC0415 - who only reads JSON starts sooner

    _check_size(text, where)
    kind = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        _check_events(yaml.parse(text, Loader=kind), where)
        loader = kind(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except DocumentError:
        raise
    # a date such as 2026-13-45 is a ValueError, a list as a key a TypeError
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        said = " ".join(str(error).split())
        raise DocumentError(f"{where} is not plain YAML: {said}") from error


def _check_events(events: Any, where: object) -> None:  # Any: yaml has no types
    """Refuse a document that is deep, or that is large once aliases are written out."""
    import yaml  # noqa: PLC0415 - as above

    sizes = [0]  # of the open collections, the document's first
    names: list[str | None] = []
    known: dict[str, int] = {}
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            names.append(event.anchor)
            sizes.append(1)
            if len(names) > MOST_DEPTH:
                raise _too_deep(where)
            continue
        size = 0
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = names.pop(), sizes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in names:
                raise DocumentError(f"{where}: {event.anchor} is an alias of itself")
            anchor, size = None, known.get(str(event.anchor), 1)
        else:
            continue
        if anchor:
            known[anchor] = size
        sizes[-1] += size
        if sizes[-1] > _MOST_VALUES:
            raise DocumentError(f"{where} has more than {_MOST_VALUES} values")


def _check_size(text: str | bytes, where: object) -> None:
    if len(text) > MOST_BYTES:
        raise DocumentError(f"{where} is larger than {MOST_BYTES} bytes")


def _too_deep(where: object) -> DocumentError:
    return DocumentError(f"{where} is nested more than {MOST_DEPTH} deep")
