"""The light curve of an object: detections and forced photometry together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.queries.rows import Rows
from l1db_pipeline.runs.kept_pointings import kept_pointing
from l1db_pipeline.schema.model import Column, Datatype
from l1db_pipeline.store.base import L1Store
from l1db_pipeline.store.tables.layout import VISIT_ID, VISIT_TIME
from visit_tables.time_scales import mjd_tai_from_utc

__all__ = ["NoSuchObjectError", "Photometry", "light_curve"]

_COLOURS = {
    "u": "tab:purple", "g": "tab:green", "r": "tab:red", "i": "tab:olive",
    "z": "tab:brown", "y": "black",
}  # fmt: skip


class NoSuchObjectError(L1dbError, LookupError):
    """An object has neither sources nor forced sources in the database."""

    def __init__(self, object_id: int, place: str) -> None:
        super().__init__(object_id, place)
        self.object_id = object_id
        self.place = place

    @override
    def __str__(self) -> str:
        return (
            f"diaObjectId {self.object_id} is not in {self.place}: "
            "find objects with cone_search"
        )


class Photometry(Rows):
    """Measurements of one object by time; see `light_curve` for the columns."""

    def __init__(
        self, object_id: int, catalog: Catalog, columns: tuple[Column, ...]
    ) -> None:
        super().__init__(catalog, columns)
        self.object_id = object_id

    @override
    def __repr__(self) -> str:
        n_forced = int(np.count_nonzero(self.catalog["forced"]))
        bands = sorted(set(self["band"].compressed().tolist()))
        return (
            f"<Photometry of diaObjectId {self.object_id}: "
            f"{len(self) - n_forced} detections, {n_forced} forced, "
            f"bands {''.join(bands) or 'unknown'}>"
        )

    def plot(self, axes: Any = None) -> Any:
        """Draw flux over time, a colour a band; forced points are hollow.

        Parameters
        ----------
        axes
            Where to draw; a new figure's by default.

        Returns
        -------
        axes
            What was drawn on.
        """
        if axes is None:
            from matplotlib import pyplot as plt  # noqa: PLC0415 - 0.5 s

            axes = plt.figure(layout="constrained").add_subplot()
        mjd_tai = mjd_tai_from_utc(self.catalog["time"])
        bands = np.where(self.catalog.null_mask("band"), "", self.catalog["band"])
        for band in np.unique(bands.astype(str)).tolist():
            for forced, fill in ((False, "full"), (True, "none")):
                rows = (bands == band) & (self.catalog["forced"] == forced)
                if rows.any():
                    axes.errorbar(
                        mjd_tai[rows],
                        self["flux"][rows].filled(np.nan),
                        self["fluxErr"][rows].filled(np.nan),
                        fmt="o", markersize=4, fillstyle=fill,
                        color=_COLOURS.get(band, "tab:gray"),
                        label=f"{band or 'unknown band'}{' forced' * forced}",
                    )  # fmt: skip
        axes.set(
            xlabel="MJD (TAI)",
            ylabel=f"flux ({self.units.get('flux', 'no unit')})",
            title=f"diaObjectId {self.object_id}",
        )
        if len(self):
            axes.legend()
        return axes


def light_curve(store: L1Store, object_id: int) -> Photometry:
    """Return all measurements of an object, detected and forced, by time.

    Parameters
    ----------
    store
        From `open_store`.
    object_id
        A ``diaObjectId``.

    Returns
    -------
    photometry
        ``time`` (middle of the visit), ``band`` (of the visit; NULL where the
        database does not keep it), ``flux`` and ``fluxErr`` (point-source flux with
        the schema's unit; NULL where it was not measured), ``forced`` (whether it is
        forced photometry), ``visitId``.

    Raises
    ------
    NoSuchObjectError
        If the database has no measurement of such an object.
    """
    ids = np.array([object_id], dtype=np.int64)
    flux = ["psFlux", "psFluxSigma", VISIT_ID, VISIT_TIME]
    detected = store.read_sources(object_ids=ids, columns=flux)
    forced = store.read_forced_sources(object_ids=ids, columns=flux)
    both = Catalog.concat([detected, forced])
    if not len(both):
        raise NoSuchObjectError(object_id, store.place)
    is_forced = np.arange(len(both)) >= len(detected)
    bands = _bands(store, both[VISIT_ID])
    nulls = {
        ours: both.null_mask(theirs)
        for ours, theirs in (("flux", "psFlux"), ("fluxErr", "psFluxSigma"))
    }
    catalog = Catalog(
        {
            "time": both[VISIT_TIME], "band": bands, "flux": both["psFlux"],
            "fluxErr": both["psFluxSigma"], "forced": is_forced,
            "visitId": both[VISIT_ID],
        },
        {**nulls, "band": np.array([band is None for band in bands])},
    )  # fmt: skip
    order = np.lexsort((is_forced, both[VISIT_TIME]))
    return Photometry(object_id, catalog.take(order), _columns(store))


def _bands(store: L1Store, visit_ids: NDArray[np.int64]) -> NDArray[Any]:
    unique, places = np.unique(visit_ids, return_inverse=True)
    kept = [kept_pointing(store, visit_id) for visit_id in unique.tolist()]
    bands = np.empty(len(unique), dtype=object)
    bands[:] = [pointing.band if pointing else None for pointing in kept]
    return np.asarray(bands[places])


def _columns(store: L1Store) -> tuple[Column, ...]:
    forced = store.layout.forced
    unit = forced.column("psFlux").unit
    dtype = forced.column("psFlux").datatype
    return (
        Column("time", Datatype.TIMESTAMP, description="Middle of the visit."),
        Column("band", Datatype.STRING, description="Band of the visit."),
        Column("flux", dtype, unit=unit, description="Point-source flux."),
        Column("fluxErr", dtype, unit=unit, description="Uncertainty of flux."),
        Column("forced", Datatype.BOOLEAN, description="Forced photometry or not."),
        Column("visitId", Datatype.LONG, description="The visit."),
    )
