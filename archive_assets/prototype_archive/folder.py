"""Make the folder of a simulation as the prototype archive wants it."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from archive_assets.objects.names import check_name
from archive_assets.prototype_archive.layout import METADATA_NAME, PrototypeError
from visit_tables.nights import date_of_mjd, night_column, night_mjds
from visit_tables.opsim.file import check_opsim
from visit_tables.opsim.frame import read_opsim

__all__ = ["make_prototype_folder"]


def make_prototype_folder(
    folder: str | Path,
    opsim: str | Path,
    *,
    label: str,
    telescope: str = "simonyi",
    tags: Sequence[str] = (),
    scheduler_version: str | None = None,
    files: Mapping[str, str | Path] | None = None,
) -> Path:
    """Fill a folder with a simulation's files, statistics and YAML.

    Parameters
    ----------
    folder
        An empty folder.
    opsim
        The visits, an opsim file; it is copied as it is.
    label, telescope, tags, scheduler_version
        What the YAML says of the simulation.
    files
        More files by type, such as ``rewards`` or ``scheduler``.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    PrototypeError
        If two files have one name, or a file is absent.
    UnsafeNameError
        If a name cannot be part of a path.
    """
    check_opsim(opsim)
    target = Path(folder)
    visits = read_opsim(opsim)
    statistics = target / "obs_stats.txt"
    statistics.write_text(visits.describe().T.to_csv(sep="\t"))
    copies: dict[str, tuple[Path, str]] = {
        "observations": (Path(opsim), "opsim.db"),
        **{
            kind: (Path(path), check_name(Path(path).name, "file name"))
            for kind, path in (files or {}).items()
        },
    }
    entries = {"statistics": _entry(statistics)}
    for kind, (source, name) in copies.items():
        if (target / name).exists() or name == METADATA_NAME:
            raise PrototypeError(f"two files of the simulation are called {name}")
        if not source.is_file():
            raise PrototypeError(f"there is no file {source}")
        shutil.copyfile(source, target / name)
        entries[kind] = _entry(target / name)
    time = night_column(list(visits.columns))
    nights = night_mjds({time: visits[time].to_numpy()})
    metadata: dict[str, object] = {
        "files": entries,
        "label": label,
        "telescope": telescope,
        "tags": list(tags),
        "simulated_dates": {
            "first": date_of_mjd(int(nights.min())).isoformat(),
            "last": date_of_mjd(int(nights.max())).isoformat(),
        },
    }
    if scheduler_version is not None:
        metadata["scheduler_version"] = scheduler_version
    (target / METADATA_NAME).write_text(yaml.safe_dump(metadata, indent=4))
    return target


def _entry(path: Path) -> dict[str, str]:
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(path.read_bytes())
    return {"name": path.name, "md5": digest.hexdigest()}
