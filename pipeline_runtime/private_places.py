"""Places on a shared machine: used only if they are ours, and closed to others."""

import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = ["PlaceError", "check_owner", "make_private", "short_link"]

_MAX_NAMES = 100  # somebody who takes more of them means harm


class PlaceError(PipelineRuntimeError):
    """A folder is another user's, or others may change it."""


def check_owner(place: Path, owner: int) -> None:
    """Refuse a folder that belongs to another user, or that others may write.

    Parameters
    ----------
    place
        A folder that exists.
    owner
        User id that it must have.

    Raises
    ------
    PlaceError
        With whose it is, or how to close it.
    """
    found = place.stat()
    if found.st_uid != owner:
        raise PlaceError(
            f"{place} belongs to {_user_name(found.st_uid)}, not to "
            f"{_user_name(owner)}: set L1DB_HOME to a folder of yours"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PlaceError(
            f"others may write to {place} (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"chmod go-w {place}, or set L1DB_HOME to another folder"
        )


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter.

    One that exists is left as it is: others may need what else it holds.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def short_link(folder: Path, max_bytes: int) -> Path:
    """Return a short name of a folder: a symbolic link of ours.

    It may vanish (a cleaner of /tmp) or be another one later (another TMPDIR): what
    it leads to stays. A name that another user took is passed over.

    Parameters
    ----------
    folder
        Where it leads. The link is made once that exists.
    max_bytes
        Longest name that is of use.

    Raises
    ------
    PlaceError
        If no folder for temporary files has a short name, or all names are taken.
    """
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    for place in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - the link is checked
        for n in range(_MAX_NAMES):
            link = place / f"l1db-{os.geteuid()}-{digest}{f'-{n}' if n else ''}"
            if len(os.fsencode(link)) > max_bytes:
                break
            if _is_our_link(link, folder):
                return link
    raise PlaceError(
        f"no short name for {folder} can be made in {tempfile.gettempdir()}: set "
        "L1DB_HOME to a folder with a shorter path"
    )


def _is_our_link(link: Path, folder: Path) -> bool:
    """Tell whether a link is ours and leads to a folder; make it if it is not there."""
    for _ in range(2):
        try:
            found = link.lstat()
        except FileNotFoundError:
            if not folder.exists():
                return True
            try:
                link.symlink_to(folder)
            except FileExistsError:
                continue  # by another process of ours, or not: look
            except OSError:
                return False
            return True
        return (
            stat.S_ISLNK(found.st_mode)
            and found.st_uid == os.geteuid()
            and link.readlink() == folder
        )
    return False


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
