"""Where a scheduler's configuration script comes from; only from allowed places.

A script is code that runs with the rights of whoever simulates. So it must lie under a
folder, or in a repository, that the site's operator has named.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from archive_assets.simulation.base import (
    BuiltinScheduler,
    SchedulerSource,
    ScriptFile,
    ScriptInRepository,
)
from archive_assets.simulation.errors import SchedulerConfigError
from pipeline_runtime.environment import text_of
from pipeline_runtime.urls import check_url

__all__ = ["ConfigPlaces", "ConfigScript", "checked_out_script", "scheduler_source"]

PLACES_VARIABLE = "PRENIGHT_CONFIG_PLACES"
_DEFAULT_PLACES = ("https://github.com/lsst-ts/", "https://github.com/lsst-sims/")
_GIT_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class ConfigPlaces:
    """From where scripts may come.

    Attributes
    ----------
    allowed
        Folders of this machine, and beginnings of repository URLs.
    """

    allowed: tuple[str, ...] = _DEFAULT_PLACES

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``$PRENIGHT_CONFIG_PLACES``: places with spaces between them."""
        named = text_of(PLACES_VARIABLE, environ)
        for place in named.split():
            check_url(place, PLACES_VARIABLE)
        return cls(tuple(named.split())) if named else cls()

    def check(self, place: str) -> None:
        """Refuse a script's path or a repository that is not in an allowed place.

        Raises
        ------
        SchedulerConfigError
            If it is not.
        """
        if any(_is_within(place, allowed) for allowed in self.allowed):
            return
        raise SchedulerConfigError(
            f"{place} is not an allowed place of configuration scripts, which are "
            f"{', '.join(self.allowed) or 'none'}: name it in ${PLACES_VARIABLE}"
        )


def _is_within(place: str, allowed: str) -> bool:
    if "://" in allowed:
        root = allowed if allowed.endswith("/") else f"{allowed}/"
        return f"{place}/".startswith(root) and ".." not in PurePosixPath(place).parts
    if "://" in place or not allowed:
        return False
    return Path(place).resolve().is_relative_to(Path(allowed).resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigScript:
    """A script that is ready to run, and where it came from.

    Attributes
    ----------
    script
        Its path; None for the built-in scheduler.
    url
        Its URL with the commit, where one is known.
    """

    script: Path | None = None
    url: str | None = None


def scheduler_source(
    repository: str | None, script: str | None, ref: str
) -> SchedulerSource:
    """Return the scheduler that a command's options ask for.

    Raises
    ------
    ValueError
        If there is a repository but no script.
    """
    if repository is None:
        return ScriptFile(path=Path(script)) if script else BuiltinScheduler()
    if script is None:
        raise ValueError("a repository needs a script")
    return ScriptInRepository(repository=repository, script=script, ref=ref)


@contextmanager
def checked_out_script(
    source: SchedulerSource, places: ConfigPlaces
) -> Iterator[ConfigScript]:
    """Make a script ready for as long as it is needed.

    Raises
    ------
    SchedulerConfigError
        If its place is not allowed, or there is no such script.
    """
    match source:
        case BuiltinScheduler():
            yield ConfigScript()
        case ScriptFile(path=path):
            places.check(str(path))
            yield _script_file(path)
        case ScriptInRepository():
            places.check(source.repository)
            with tempfile.TemporaryDirectory(prefix="scheduler-config-") as folder:
                yield _clone(source, Path(folder))


def _script_file(path: Path) -> ConfigScript:
    if not path.is_file():
        raise SchedulerConfigError(f"there is no configuration script {path}")
    path = path.resolve()
    commit = _clean_commit(path)
    url = path.as_uri() if commit is None else f"{path.as_uri()}?commit={commit}"
    return ConfigScript(script=path, url=url)


def _clean_commit(path: Path) -> str | None:
    """Return the commit of a script that git knows and that was not changed since."""
    if shutil.which("git") is None:
        return None
    try:
        changes = _git("status", "--porcelain", "--", path.name, folder=path.parent)
        _git("ls-files", "--error-unmatch", "--", path.name, folder=path.parent)
        commit = _git("rev-parse", "HEAD", folder=path.parent)
    except SchedulerConfigError:
        return None
    return None if changes else commit


def _clone(source: ScriptInRepository, folder: Path) -> ConfigScript:
    if source.ref.startswith("-") or not source.ref:
        raise SchedulerConfigError(f"{source.ref!r} is not a branch, tag or commit")
    checkout = folder / "checkout"
    _git("clone", "--quiet", "--no-checkout", "--", source.repository, str(checkout))
    _git("checkout", "--quiet", "--detach", source.ref, "--", folder=checkout)
    commit = _git("rev-parse", "HEAD", folder=checkout)
    script = (checkout / source.script).resolve()
    if not script.is_relative_to(checkout.resolve()) or not script.is_file():
        raise SchedulerConfigError(
            f"{source.repository} has no script {source.script} at {source.ref}"
        )
    repository = source.repository.removesuffix("/").removesuffix(".git")
    return ConfigScript(
        script=script, url=f"{repository}/blob/{commit}/{source.script}"
    )


def _git(*arguments: str, folder: Path | None = None) -> str:
    """Run git and return what it prints; it never asks, and runs no helper program."""
    environ = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:https:ssh",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": os.devnull,
    }
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environ.pop(name, None)
    try:
        done = subprocess.run(  # noqa: S603 - an argument list, refs are checked
            ["git", *arguments],  # noqa: S607 - the PATH's git
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except FileNotFoundError as error:
        raise SchedulerConfigError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerConfigError(
            f"git {arguments[0]} took longer than {_GIT_TIMEOUT_S} s"
        ) from error
    except subprocess.CalledProcessError as error:
        raise SchedulerConfigError(
            f"git {arguments[0]} failed: {error.stderr.strip()}"
        ) from error
    return done.stdout.strip()
