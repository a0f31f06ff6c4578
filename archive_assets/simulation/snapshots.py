"""Pickled schedulers and observatories: made here, loaded from nowhere else.

Loading a pickle runs what is in it. So only files in the machine's own work folder are
loaded, that belong to the user and that nobody else could have written.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from archive_assets.simulation.errors import SnapshotError
from archive_assets.simulation.work import default_work_folder
from pipeline_runtime.documents import open_regular

__all__ = ["load_snapshot", "save_snapshot"]

_OPENERS: dict[str, Callable[..., Any]] = {
    ".bz2": bz2.open,
    ".gz": gzip.open,
    ".xz": lzma.open,
}
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def save_snapshot(thing: Any, path: Path) -> None:  # anything can be pickled
    """Pickle something into a file that only its owner can read or write.

    Compressed if the name ends with ``.bz2``, ``.xz`` or ``.gz``. A file that is there
    already is replaced in one step.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as raw, _compressor(raw, path, "wb") as file:
            pickle.dump(thing, file)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def load_snapshot(path: Path, work_folder: Path | None = None) -> Any:  # as pickled
    """Unpickle a file of the work folder.

    Parameters
    ----------
    path
        The file.
    work_folder
        The only folder from which snapshots are loaded; by default
        `default_work_folder`.

    Raises
    ------
    SnapshotError
        If the file is elsewhere, belongs to someone else, could have been written by
        someone else, or is damaged.
    """
    folder = (default_work_folder() if work_folder is None else work_folder).resolve()
    path = path.resolve()
    if not path.is_relative_to(folder):
        raise SnapshotError(
            f"{path} is outside the work folder {folder}: snapshots run code when they "
            "are loaded. Make it there, or set PRENIGHT_WORK to its folder"
        )
    content = _own_content(path, folder)
    try:
        with _compressor(io.BytesIO(content), path, "rb") as file:
            return pickle.load(file)  # noqa: S301 - only our own file, checked above
    except (
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        ImportError,
        IndexError,
        OSError,
        ValueError,
        lzma.LZMAError,
    ) as error:
        raise SnapshotError(f"{path} is not a snapshot: {error}") from error


def _own_content(path: Path, folder: Path) -> bytes:
    """Return the bytes of a file, once it is sure who wrote them."""
    try:
        with open_regular(path) as file:
            _check_owner(os.fstat(file.fileno()), path)
            for above in path.parents:
                _check_owner(above.stat(), above)
                if above == folder:
                    break
            return file.read()
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror}") from error


def _check_owner(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise SnapshotError(f"{path} belongs to another user: it is not loaded")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise SnapshotError(
            f"others than you can write to {path}: it is not loaded. "
            f"If you trust it: chmod go-w {path}"
        )


def _compressor(raw: IO[bytes], path: Path, mode: str) -> IO[bytes]:
    opener = _OPENERS.get(path.suffix)
    return raw if opener is None else cast("IO[bytes]", opener(raw, mode))
