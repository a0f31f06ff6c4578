"""Whole files converted between opsim SQLite and HDF5, by their paths."""

from pathlib import Path

from typing_extensions import override

from visit_tables.convert import hdf5_to_opsim, opsim_to_hdf5
from visit_tables.errors import VisitTablesError

__all__ = ["FileAlreadyThereError", "hdf5_to_opsimdb", "opsimdb_to_hdf5"]


class FileAlreadyThereError(VisitTablesError, FileExistsError, ValueError):
    """A file would be overwritten that nobody asked to overwrite."""

    @override
    def __str__(self) -> str:
        return f"{self.args[0]} exists already"


def opsimdb_to_hdf5(
    opsimdb_path: str | Path, hdf5_path: str | Path | None = None
) -> str:
    """Write every table of an opsim file to HDF5.

    Parameters
    ----------
    opsimdb_path
        SQLite file.
    hdf5_path
        File to write, replaced if it exists; by default beside the opsim file,
        with suffix ``.h5``.

    Returns
    -------
    hdf5_path
        The file written.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    """
    target = Path(opsimdb_path).with_suffix(".h5") if hdf5_path is None else hdf5_path
    opsim_to_hdf5(opsimdb_path, target)
    return str(target)


def hdf5_to_opsimdb(
    hdf5_path: str | Path, opsimdb_path: str | Path | None = None
) -> str:
    """Write every table of an HDF5 file of visits to SQLite.

    Parameters
    ----------
    hdf5_path
        File in a layout of pandas.
    opsimdb_path
        File to write; by default beside the HDF5 file, with suffix ``.db``.

    Returns
    -------
    opsimdb_path
        The file written.

    Raises
    ------
    FileAlreadyThereError
        If there is such a file already. (The original raised ValueError at the
        first table that existed, and left those before it.)
    HDF5FileError
        If the HDF5 file cannot be read safely.
    """
    target = (
        Path(hdf5_path).with_suffix(".db") if opsimdb_path is None else opsimdb_path
    )
    if Path(target).exists():
        raise FileAlreadyThereError(target)
    hdf5_to_opsim(hdf5_path, target)
    return str(target)
