"""What all workers of one test session share: a folder, and what is made once in it."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_FOLDER = pytest.StashKey[Path]()


@dataclass(frozen=True, slots=True)
class Session:
    """A folder that every worker of the session sees."""

    folder: Path

    def made_once(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return a folder that the first who asks fills; not to be written to."""
        made, done = self.folder / name, self.folder / f"{name}.done"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)  # of a worker that failed
                made.mkdir()
                make(made)
                done.touch()
        return made


def begin(config: pytest.Config) -> None:
    """Make the folder, or take the one of the session that this is a worker of."""
    given = getattr(config, "workerinput", {}).get("session_folder")
    config.stash[_FOLDER] = Path(given or tempfile.mkdtemp(prefix="l1db-session-"))


def tell(node: Any) -> None:  # xdist's WorkerController has no annotations
    """Tell a worker that is about to start where the folder is."""
    node.workerinput["session_folder"] = str(node.config.stash[_FOLDER])


def is_worker(config: pytest.Config) -> bool:
    """Tell whether another process began the session, and ends it."""
    return hasattr(config, "workerinput")


def end(config: pytest.Config) -> None:
    """Remove the folder."""
    shutil.rmtree(config.stash[_FOLDER])


def of(config: pytest.Config) -> Session:
    """Return what the workers share."""
    return Session(config.stash[_FOLDER])
