"""Sources to objects: matching, forced photometry, and the records that they make.

Everything is vectorised and depends on the visit alone, never on the order of
visits in a process, so that a visit gives the same rows in any division or re-run.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.catalog.ids import new_object_ids, source_ids
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import htm_index, xyz_to_radec
from l1db_pipeline.sources.dia import SimulatedSources
from l1db_pipeline.visit.filling import hashed_uniform, row_keys
from visit_tables.time_scales import mjd_tai_from_utc

__all__ = [
    "FORCED_PHOTOMETRY_CUTOFF",
    "Detections",
    "detections_of",
    "forced_photometry_rows",
    "forced_source_records",
    "ids_by_catalog",
    "object_records",
    "source_records",
    "with_required_columns",
]

_FLUX_ERROR_NMGY = 0.03
FORCED_PHOTOMETRY_CUTOFF = timedelta(days=30)
"""How long after its last detection an object is still measured (spec 5.5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detections:
    """Sources that difference imaging found in a visit, one row each.

    ``places`` are places in the visit's whole list, and so are fixed before any
    division into tiles.
    """

    xyz: NDArray[np.float64]
    """Unit vectors, ICRS, shape ``(n, 3)``."""
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    htm20: NDArray[np.int64]
    catalog_index: NDArray[np.int64]
    """Row of the catalog of variable sources, -1 for transients and noise."""
    places: NDArray[np.int64]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Measured DiaSource columns (``apFlux``, ``snr``, ...), if they are simulated."""

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Detections":
        """Return the rows that a mask or an index array selects."""
        return Detections(
            xyz=self.xyz[rows],
            ra_deg=self.ra_deg[rows],
            dec_deg=self.dec_deg[rows],
            htm20=self.htm20[rows],
            catalog_index=self.catalog_index[rows],
            places=self.places[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
        )


def detections_of(sources: SimulatedSources) -> Detections:
    """Return simulated sources with the coordinates that their records need."""
    ra_deg, dec_deg = xyz_to_radec(sources.xyz)
    return Detections(
        xyz=sources.xyz,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        htm20=htm_index(sources.xyz),
        catalog_index=sources.catalog_rows,
        places=np.arange(len(sources)),
        columns=sources.columns,
    )


def ids_by_catalog(detections: Detections, visit_id: int) -> NDArray[np.int64]:
    """Return the object id of each source as its generator knows it.

    A variable source's object is its row of the catalog, as in the original;
    transients and noise are new objects of the visit.
    """
    fresh = new_object_ids(visit_id, detections.places)
    index = detections.catalog_index
    return np.where(index >= 0, index, fresh)


def forced_photometry_rows(
    known: Catalog,
    detected_ids: NDArray[np.int64],
    time: np.datetime64,
    *,
    cutoff: timedelta = FORCED_PHOTOMETRY_CUTOFF,
) -> NDArray[np.int64]:
    """Return rows of the known objects that are measured without a detection.

    Parameters
    ----------
    known
        Objects of the region; ``diaObjectId`` and ``lastNonForcedSource``.
    detected_ids
        Objects that the visit detected, those of other tiles too.
    time
        Visit time, UTC.
    cutoff
        An object whose last detection is longer ago is left alone.
    """
    undetected = ~IdSet(detected_ids).holds(known["diaObjectId"])
    recent = time - known["lastNonForcedSource"] <= np.timedelta64(cutoff)
    return np.flatnonzero(undetected & recent)


def object_records(
    detections: Detections,
    object_ids: NDArray[np.int64],
    forced: Catalog,
    time: np.datetime64,
    *,
    position_sigma_deg: float = 0.0,
) -> Catalog:
    """Return new DiaObject versions: of detected objects, then of forced ones.

    A detected object takes the detection's position and time; a forced one keeps
    its position, errors and ``lastNonForcedSource`` (so that the cutoff works).

    Parameters
    ----------
    detections, object_ids
        Sources and the object of each; no object twice.
    forced
        Rows of known objects, short records, that were measured undetected.
    time
        Visit time, UTC.
    position_sigma_deg
        Error of a detected position in each direction.
    """
    n = len(detections)
    sigma = np.full(n, position_sigma_deg, dtype=np.float32)
    last = np.concatenate([np.full(n, time), forced["lastNonForcedSource"]])
    measured = detections.columns
    parts: dict[str, NDArray[Any]] = {
        "diaObjectId": object_ids,
        "ra": detections.ra_deg,
        "raSigma": measured.get("raSigma", sigma),
        "decl": detections.dec_deg,
        "declSigma": measured.get("declSigma", sigma),
        "ra_decl_Cov": measured.get("ra_decl_Cov", np.zeros(n, dtype=np.float32)),
        "htmId20": detections.htm20,
    }
    columns = {
        name: np.concatenate([detected, forced[name].astype(detected.dtype)])
        for name, detected in parts.items()
    }
    return Catalog(
        {**columns, "lastNonForcedSource": last, "radecTai": mjd_tai_from_utc(last)}
    )


def source_records(
    detections: Detections,
    object_ids: NDArray[np.int64],
    visit_id: int,
    time: np.datetime64,
    *,
    position_sigma_deg: float = 0.0,
) -> Catalog:
    """Return the DiaSource of each detection; arguments as in `object_records`.

    ``ccdVisitId`` is the visit's id, and ``snr`` 5 unless it is simulated, as in
    the original.
    """
    n = len(detections)
    sigma = np.full(n, position_sigma_deg, dtype=np.float32)
    return Catalog(
        {
            "diaSourceId": source_ids(visit_id, detections.places),
            "ccdVisitId": np.full(n, visit_id, dtype=np.int64),
            "diaObjectId": object_ids,
            "midPointTai": np.full(n, mjd_tai_from_utc(np.array(time))),
            "ra": detections.ra_deg,
            "raSigma": sigma,
            "decl": detections.dec_deg,
            "declSigma": sigma,
            "snr": np.full(n, 5, dtype=np.float32),
            "htmId20": detections.htm20,
            **detections.columns,
        }
    )


def forced_source_records(
    objects: Catalog, visit_id: int, detections: Detections
) -> Catalog:
    """Return a DiaForcedSource for each new object version, detected or not.

    Where fluxes are simulated, detected objects (the first rows) have that of their
    source, the others noise around zero.
    """
    n = len(objects)
    columns: dict[str, NDArray[Any]] = {
        "diaObjectId": objects["diaObjectId"],
        "ccdVisitId": np.full(n, visit_id, dtype=np.int64),
    }
    if "psFlux" in detections.columns:
        keys = row_keys(columns["diaObjectId"], columns["ccdVisitId"])
        sigma = np.full(n, _FLUX_ERROR_NMGY)
        sigma[: len(detections)] = detections.columns["psFluxSigma"]
        # the sum of twelve uniform numbers is nearly Gaussian, of unit variance
        noise = sum(hashed_uniform(keys, f"noise{i}") for i in range(12)) - 6.0
        flux = sigma * noise
        flux[: len(detections)] = detections.columns["psFlux"]
        columns |= {"psFlux": flux, "psFluxSigma": sigma}
    return Catalog(columns)


def with_required_columns(catalog: Catalog, table: Table) -> Catalog:
    """Return a catalog with zeros in the columns that its table requires.

    Columns that the table has not are left out; validity times are not added,
    since the store sets them.
    """
    n, given = len(catalog), catalog.columns
    columns = {
        column.name: np.asarray(given[column.name], dtype=column.numpy_dtype)
        if column.name in given
        else np.zeros(n, dtype=column.numpy_dtype)
        for column in table.columns
        if column.name in given
        or (not column.nullable and column.name != "validityStart")
    }
    nulls = {name: mask for name, mask in catalog.nulls.items() if name in columns}
    return Catalog(columns, nulls)
