"""The conda environment that a simulation ran in."""

import hashlib
import shutil
import subprocess

from archive_assets.errors import ArchiveError

__all__ = ["CondaNotFoundError", "compute_conda_env"]


class CondaNotFoundError(ArchiveError, FileNotFoundError):
    """The program ``conda`` is not on the path."""


def compute_conda_env() -> tuple[bytes, str]:
    """Describe the current conda environment.

    Returns
    -------
    env_hash
        SHA-256 of the JSON text.
    env_json
        What ``conda list --json`` prints.

    Raises
    ------
    CondaNotFoundError
        If there is no program ``conda``.
    subprocess.CalledProcessError
        If it fails.
    """
    program = shutil.which("conda")
    if program is None:
        raise CondaNotFoundError("no program conda on the path")
    run = subprocess.run(  # noqa: S603 no shell, nothing from outside
        [program, "list", "--json"], capture_output=True, text=True, check=True
    )
    return hashlib.sha256(run.stdout.encode()).digest(), run.stdout
