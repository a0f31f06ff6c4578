"""Visits in HDF5: a door with the names of earlier versions."""

from visit_tables.hdf5.read import read_visits

__all__ = ["read_visits"]
