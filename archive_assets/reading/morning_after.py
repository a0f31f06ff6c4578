"""What came true of a night: its completed visits against every variant simulated.

Visits of one field and band are matched in their order, so that the largest difference
in time is as small as possible, and then the mean of squares: as schedview's
``comparesim`` does where it tries all combinations. Offsets are completed minus
simulated: positive ones are late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from archive_assets.errors import ArchiveError
from archive_assets.nights.page import Section
from archive_assets.reading.plain_visits import plain_visits
from pipeline_runtime.printing import plain_value
from visit_tables.directions import radec_to_xyz

__all__ = [
    "COMPLETED",
    "TOLERANCE_DEG",
    "MorningAfter",
    "NoVisitsError",
    "VariantMatch",
    "compare_completed",
    "completed_section",
]

COMPLETED = "Completed visits"
TOLERANCE_DEG = 0.002
"""How far visits of one field may be apart: schedview's."""
_DAY_S = 86400.0
_MORE = ("airmass", "depth")
_ON_TIME_MIN = 0.05
_CAME_TRUE = 0.5
"""A variant of whose visits fewer were made did not come true."""


class NoVisitsError(ArchiveError):
    """A night has no completed visits, or no simulated ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantMatch:
    """The visits of a variant that were made.

    Attributes
    ----------
    n_completed, n_simulated
        Visits of the night.
    pairs
        A row a visit that is in both: ``mjd_completed``, ``mjd_simulated`` (UTC),
        ``ra``, ``dec`` (deg), ``band``, ``offset_s``, and ``airmass`` and ``depth``
        (mag), completed minus simulated, NaN where either lacks it.
    bands
        By band: ``completed``, ``simulated``, ``matched``.
    """

    name: str
    n_completed: int
    n_simulated: int
    pairs: pd.DataFrame
    bands: pd.DataFrame

    @property
    def share(self) -> float:
        """Share of the completed visits that are in the simulation."""
        return len(self.pairs) / self.n_completed

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the variant; offsets in seconds, None without pairs.

        ``MAD`` is the median of absolute offsets, as schedview calls it.
        """
        offsets = self.pairs["offset_s"]
        spread = offsets.describe().drop("count").to_dict()
        found = {
            "variant": self.name,
            "completed": self.n_completed,
            "simulated": self.n_simulated,
            "matched": len(offsets),
            "of_completed": self.share,
            "of_simulated": len(offsets) / self.n_simulated,
            "MAD": offsets.abs().median(),
            **spread,
            "airmass": self.pairs["airmass"].median(),
            "depth": self.pairs["depth"].median(),
        }
        return {str(name): plain_value(value) for name, value in found.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class MorningAfter:
    """What came true of a night; the best variant first."""

    day_obs: date
    variants: Sequence[VariantMatch]

    @property
    def best(self) -> VariantMatch:
        """The variant of which most came true."""
        return self.variants[0]

    @property
    def answer(self) -> str:
        """Which variant came true, in one sentence."""
        best = self.best
        n_pairs = len(best.pairs)
        said = (
            f"{n_pairs} of {best.n_completed} completed visits ({best.share:.0%}) are "
            "in it"
        )
        if n_pairs:
            late = best.pairs["offset_s"].median() / 60
            when = f"{abs(late):.1f} min {'late' if late > 0 else 'early'}"
            said += f", {'on time' if abs(late) < _ON_TIME_MIN else when} (median)"
        if best.share < _CAME_TRUE:
            return f"no variant came true; closest is {best.name}: {said}"
        return f"{best.name} came true: {said}"

    def as_json(self) -> dict[str, Any]:
        """Return everything but the pairs, as values that JSON can hold."""
        return {
            "day_obs": self.day_obs.isoformat(),
            "answer": self.answer,
            "came_true": self.best.name if self.best.share >= _CAME_TRUE else None,
            "variants": [variant.numbers() for variant in self.variants],
            "bands": {
                variant.name: variant.bands.to_dict("index")
                for variant in self.variants
            },
        }


def compare_completed(
    completed: pd.DataFrame,
    simulated: Mapping[str, pd.DataFrame],
    day_obs: date,
    *,
    tolerance_deg: float = TOLERANCE_DEG,
) -> MorningAfter:
    """Match the completed visits of a night with those of each variant.

    Parameters
    ----------
    completed
        Visits made, under the names of opsim or consdb; other nights do not matter.
    simulated
        Visits by the name of the variant, likewise.
    day_obs
        The night.
    tolerance_deg
        Distance up to which visits are of one field.

    Raises
    ------
    NoVisitsError
        If the night has no completed visits, or no variant has visits of it.
    InvalidValueError
        If a column is missing.
    """
    made = _of_night(completed, day_obs)
    planned = {name: _of_night(visits, day_obs) for name, visits in simulated.items()}
    planned = {name: visits for name, visits in planned.items() if len(visits)}
    if made.empty:
        raise NoVisitsError(f"there are no completed visits of the night {day_obs}")
    if not planned:
        raise NoVisitsError(
            f"no simulation of the night {day_obs} has visits of it, so that nothing "
            "can be compared with the completed visits"
        )
    found = [
        _match(name, made, visits, tolerance_deg) for name, visits in planned.items()
    ]
    found.sort(key=_how_untrue)
    return MorningAfter(day_obs=day_obs, variants=found)


def _how_untrue(variant: VariantMatch) -> tuple[int, float]:
    """Sort those of which most visits were made first, then those in time."""
    n_pairs = len(variant.pairs)
    return -n_pairs, variant.pairs["offset_s"].abs().median() if n_pairs else 0.0


def _of_night(visits: pd.DataFrame, day_obs: date) -> pd.DataFrame:
    if visits.empty:
        return pd.DataFrame(columns=["mjd"])
    found = plain_visits(visits, _MORE)
    found["band"] = found["band"].astype(str).str.partition("_")[0]  # r_57 is r
    return found.loc[found["night"] == day_obs].reset_index(drop=True)


def _match(
    name: str, made: pd.DataFrame, planned: pd.DataFrame, tolerance_deg: float
) -> VariantMatch:
    both = pd.concat([made, planned], keys=["made", "planned"], names=["side", None])
    both["field"] = _fields(both[["ra", "dec"]].to_numpy(np.float64), tolerance_deg)
    rows = []
    for _, group in both.groupby(["field", "band"], sort=False):
        sides = group.index.get_level_values("side")
        one, other = group[sides == "made"], group[sides == "planned"]
        if len(one) and len(other):
            rows.append(_pairs(one, other))
    columns = [
        "mjd_completed",
        "mjd_simulated",
        "ra",
        "dec",
        "band",
        "offset_s",
        *_MORE,
    ]
    pairs = pd.concat(rows) if rows else pd.DataFrame(columns=columns, dtype=float)
    counts = {
        kind: visits["band"].value_counts()
        for kind, visits in (
            ("completed", made), ("simulated", planned), ("matched", pairs),
        )
    }  # fmt: skip
    bands = pd.DataFrame(counts).fillna(0).astype("int64")
    return VariantMatch(
        name=name,
        n_completed=len(made),
        n_simulated=len(planned),
        pairs=pairs.sort_values("mjd_completed", ignore_index=True),
        bands=bands.reindex(sorted(bands.index, key=lambda b: ("ugrizy".find(b), b))),
    )


def _pairs(made: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Return the matched visits of one field and band."""
    times = made["mjd"].to_numpy(), planned["mjd"].to_numpy()
    if len(made) >= len(planned):
        made = made.iloc[best_places(times[0], times[1])]
    else:
        planned = planned.iloc[best_places(times[1], times[0])]
    made, planned = made.reset_index(drop=True), planned.reset_index(drop=True)
    return pd.DataFrame(
        {
            "mjd_completed": made["mjd"],
            "mjd_simulated": planned["mjd"],
            "ra": made["ra"],
            "dec": made["dec"],
            "band": made["band"],
            "offset_s": (made["mjd"] - planned["mjd"]) * _DAY_S,
            **{what: made[what] - planned[what] for what in _MORE},
        }
    )


def best_places(
    longer: NDArray[np.float64], shorter: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return, for each time of one list, its place in another that is not shorter.

    Order is kept. The largest difference is as small as it can be, and with that the
    sum of squares.

    Parameters
    ----------
    longer, shorter
        Ascending times.
    """
    apart = np.abs(shorter[:, None] - longer[None, :])
    largest = np.zeros(len(longer) + 1)
    for row in apart:
        reached = np.minimum.accumulate(np.maximum(largest[:-1], row))
        largest = np.concatenate([[np.inf], reached])
    costs = np.where(apart <= largest[-1], apart**2, np.inf)
    total = np.zeros(len(longer) + 1)
    sums = []
    for row in costs:
        sums.append(total[:-1] + row)
        total = np.concatenate([[np.inf], np.minimum.accumulate(sums[-1])])
    places = np.empty(len(shorter), dtype=np.int64)
    end = len(longer)
    for number in reversed(range(len(shorter))):
        places[number] = end = int(np.argmin(sums[number][:end]))
    return places


def _fields(radec_deg: NDArray[np.float64], tolerance_deg: float) -> NDArray[np.int64]:
    """Return the number of each position's field: those linked by near positions."""
    xyz = radec_to_xyz(*radec_deg.T)
    chord = 2 * np.sin(np.radians(tolerance_deg) / 2)
    near = cKDTree(xyz).query_pairs(chord, output_type="ndarray")
    n = len(xyz)
    links = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(n, n))
    _, numbers = connected_components(links, directed=False)
    return np.asarray(numbers, dtype=np.int64)


def completed_section(found: MorningAfter) -> Section:
    """Return what came true of a night, as a section of its page."""
    rows = []
    for variant in found.variants:
        numbers = variant.numbers()
        bands = " ".join(
            f"{band} {row['matched']}/{row['completed']}"
            for band, row in variant.bands.to_dict("index").items()
        )
        rows.append(
            (
                variant.name,
                f"{len(variant.pairs)} of {variant.n_completed}",
                f"{numbers['of_completed']:.0%}",
                f"{numbers['of_simulated']:.0%}",
                _minutes(numbers["50%"]),
                _minutes(numbers["MAD"]),
                _signed(numbers["airmass"]),
                _signed(numbers["depth"]),
                bands,
            )
        )
    return Section(
        title=COMPLETED,
        summary=found.answer,
        columns=(
            "variant", "matched", "of completed", "of simulated", "late by [min]",
            "median |offset| [min]", "airmass", "depth [mag]", "matched by band",
        ),
        rows=rows,
    )  # fmt: skip


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
