"""The machine's own work folder of simulations."""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["default_work_folder"]


def default_work_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return ``$PRENIGHT_WORK``, or ``prenight`` in the project's home folder."""
    if chosen := environ.get("PRENIGHT_WORK"):
        return Path(chosen).expanduser()
    home = environ.get("L1DB_HOME") or "~/.l1db"
    return Path(home).expanduser() / "prenight"
