"""The machine's own work folder of simulations."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline_runtime.environment import text_of

__all__ = ["default_work_folder"]


def default_work_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return ``$PRENIGHT_WORK``, or ``prenight`` in the project's home folder."""
    if chosen := text_of("PRENIGHT_WORK", environ):
        return Path(chosen).expanduser()
    home = text_of("L1DB_HOME", environ) or "~/.l1db"
    return Path(home).expanduser() / "prenight"
