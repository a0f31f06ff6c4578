"""Export a simulation of the visit sequence archive to the prototype archive."""

import shutil
import tempfile
from datetime import date
from pathlib import Path
from uuid import UUID

from lsst.resources import ResourcePath

from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.objects.datastore import DataStore, check_name
from archive_assets.prototype_archive import layout
from archive_assets.prototype_archive.layout import PrototypeError
from visit_tables.convert import hdf5_to_opsim
from visit_tables.files import is_sqlite

__all__ = ["export_simulation"]


def export_simulation(
    archive_metadata: VisitSequenceArchiveMetadata,
    sim_uuid: UUID,
    base: str | ResourcePath,
    today: date,
) -> ResourcePath:
    """Copy a simulation to the next folder of the prototype archive; return that.

    Parameters
    ----------
    archive_metadata, sim_uuid
        The metadata database, and a simulation in it.
    base, today
        The prototype archive, and the date of addition, UTC.

    Raises
    ------
    PrototypeError
        If it has no visits.
    UnsafeNameError
        If a file has a name that cannot be part of a path.
    UnknownSequenceError
        If there is no such simulation.

    Notes
    -----
    Its files are copied under their names, its visits as ``opsim.db`` unless a file
    of type ``observations`` is there, and the YAML last.
    """
    metadata = layout.parse_yaml(archive_metadata.sim_metadata_yaml(sim_uuid), sim_uuid)
    visits_url = archive_metadata.get_visitseq_url(sim_uuid)
    if visits_url is None and "observations" not in metadata["files"]:
        raise PrototypeError(f"the visits of {sim_uuid} are not archived")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = {}
        for kind, entry in metadata["files"].items():
            file_name = check_name(ResourcePath(entry["url"]).basename(), "file name")
            _bring(entry["url"], folder / file_name)
            entries[kind] = file_name
        if "observations" not in entries and visits_url is not None:
            _bring_as_opsim(visits_url, folder / "opsim.db")
            entries["observations"] = "opsim.db"
        target = layout.claim_next_folder(base, today)
        store = DataStore(target)
        for file_name in entries.values():
            store.put(folder / file_name, target.join(file_name))
        entries["metadata"] = layout.METADATA_NAME
        metadata["files"] = {
            kind: {"name": file_name, "url": target.join(file_name).geturl()}
            for kind, file_name in entries.items()
        }
        layout.write_metadata(target, metadata)
    return target


def _bring(url: str, path: Path) -> None:
    source = ResourcePath(url)
    if path.exists():
        raise PrototypeError(f"two files of the simulation are called {path.name}")
    DataStore(source.dirname()).get(source, to=path)


def _bring_as_opsim(url: str, path: Path) -> None:
    source = ResourcePath(url)
    store = DataStore(source.dirname())
    visits = store.get(source)
    if is_sqlite(visits):
        shutil.copyfile(visits, path)
    else:
        hdf5_to_opsim(visits, path)
