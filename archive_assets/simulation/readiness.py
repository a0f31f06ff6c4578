"""Whether this machine can simulate a night: asked before the night begins."""

import importlib.util
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from archive_assets.simulation.base import Telescope
from archive_assets.simulation.errors import VariantError
from archive_assets.simulation.variants import load_variants

__all__ = ["LEAST_FREE_BYTES", "readiness_problems"]

LEAST_FREE_BYTES = 1_000_000_000
"""A night of eight variants with rewards takes some hundred MB."""


def readiness_problems(
    *,
    outbox: Path,
    site_data: Path,
    command: Sequence[str] = (),
    completed: Mapping[str, str] | None = None,
    synthesize: bool = True,
) -> list[str]:
    """Return what keeps this machine from simulating nights; nothing if it can.

    Parameters
    ----------
    outbox
        Where finished simulations are kept: written to, with room.
    site_data
        Folder of the site data.
    command
        The site's own program, instead of rubin_scheduler.
    completed
        Files of completed visits, by telescope.
    synthesize
        Whether missing site data are synthesized.
    """
    return [
        *_program_problems(command),
        *_variant_problems(completed or {}),
        *_folder_problems(outbox),
        *(
            []
            if synthesize or command or site_data.is_dir()
            else [f"there are no site data in {site_data}, and none are synthesized"]
        ),
    ]


def _program_problems(command: Sequence[str]) -> Iterator[str]:
    if command and shutil.which(command[0]) is None:
        yield f"the simulation command {command[0]} is not there, or no program"
    if not command and importlib.util.find_spec("rubin_scheduler") is None:
        yield "rubin_scheduler is not installed"


def _variant_problems(completed: Mapping[str, str]) -> Iterator[str]:
    try:
        telescopes: Collection[Telescope] = load_variants()
    except VariantError as error:
        yield str(error)
        return
    for name, path in completed.items():
        if name not in telescopes:
            yield f"completed visits are given for {name}, which has no variants"
        elif not Path(path).is_file():
            yield f"there is no file of the completed visits of {name} at {path}"


def _folder_problems(outbox: Path) -> Iterator[str]:
    try:
        outbox.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=outbox):
            pass
    except OSError as error:
        yield f"{outbox} cannot be written: {error.strerror}"
        return
    if (free := shutil.disk_usage(outbox).free) < LEAST_FREE_BYTES:
        yield (
            f"{outbox} has {free / 1e6:.0f} MB left, a night needs "
            f"{LEAST_FREE_BYTES / 1e6:.0f}"
        )
