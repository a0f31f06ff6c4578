"""Software environments: the packages that a simulation ran with."""

import hashlib
import shutil
import subprocess

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from archive_assets.errors import ArchiveError
from archive_assets.metadata.errors import InvalidValueError
from pipeline_runtime.documents import DocumentError, parse_json
from pipeline_runtime.urls import without_credentials

__all__ = [
    "CondaNotFoundError",
    "compute_conda_env",
    "insert_environment",
    "is_environment_saved",
]


class CondaNotFoundError(ArchiveError, FileNotFoundError):
    """The program ``conda`` is not on the path."""


def compute_conda_env() -> tuple[bytes, str]:
    """Describe the current conda environment.

    Returns
    -------
    env_hash
        SHA-256 of the JSON text.
    env_json
        What ``conda list --json`` prints, without credentials of its channels.

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
    packages = without_credentials(run.stdout)  # of private channels
    return hashlib.sha256(packages.encode()).digest(), packages


def is_environment_saved(connection: Connection, env_hash: bytes) -> bool:
    """Tell whether an environment is stored."""
    found = connection.execute(
        text("SELECT 1 FROM conda_env WHERE conda_env_hash = :hash"),
        {"hash": env_hash},
    ).first()
    return found is not None


def insert_environment(connection: Connection, env_hash: bytes, env_json: str) -> bool:
    """Store an environment; return False if it is stored already.

    Parameters
    ----------
    connection
        Open transaction.
    env_hash
        SHA-256 of the text.
    env_json
        JSON list of packages, as ``conda list --json`` prints it.

    Raises
    ------
    InvalidValueError
        If the text is not a JSON list, or is not what the hash was made of.
    """
    try:
        packages = parse_json(env_json, "the environment")
    except DocumentError as error:
        raise InvalidValueError(str(error)) from error
    if not isinstance(packages, list):
        raise InvalidValueError("the environment must be a JSON list of packages")
    if hashlib.sha256(env_json.encode()).digest() != env_hash:
        raise InvalidValueError("the hash is not that of the environment's text")
    insert = text(
        "INSERT INTO conda_env (conda_env_hash, conda_env) VALUES (:hash, :packages) "
        "ON CONFLICT DO NOTHING"
    ).bindparams(bindparam("packages", type_=JSONB()))
    added = connection.execute(insert, {"hash": env_hash, "packages": packages})
    return added.rowcount == 1
