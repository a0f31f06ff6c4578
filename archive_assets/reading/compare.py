"""Compare two visit sequences: which visits they share, and when each has them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import override

from archive_assets.metadata.errors import InvalidValueError
from archive_assets.reading.plain_visits import plain_visits

__all__ = ["Comparison", "compare_visits", "plot_comparison"]

_POSITION_DECIMALS = 4  # 0.4 arcsec: the same field, whatever the file went through
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two sequences, A and B, have in common.

    Attributes
    ----------
    shared
        One row a visit in both: ``mjd_a``, ``mjd_b`` (UTC, days), ``ra``, ``dec``
        (deg), ``band``, ``night`` (date) and ``offset_s`` (B minus A).
    only_a, only_b
        Visits of one alone: ``mjd``, ``ra``, ``dec``, ``band``, ``night``.
    bands
        Visits by band: ``a``, ``b``, ``shared``.
    nights
        The nights that were compared.
    left_out_a, left_out_b
        How many visits of each are of other nights, and were not compared.
    """

    shared: pd.DataFrame
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    bands: pd.DataFrame
    nights: Sequence[date]
    left_out_a: int = 0
    left_out_b: int = 0

    @override
    def __repr__(self) -> str:
        return (
            f"<Comparison over {len(self.nights)} nights: {len(self.shared)} shared, "
            f"{len(self.only_a)} only in A, {len(self.only_b)} only in B>"
        )

    def summary(self) -> dict[str, object]:
        """Return the numbers, as values that JSON can hold."""
        offsets = self.shared["offset_s"].to_numpy()
        quantiles = dict.fromkeys(("min", "median", "max"))
        if len(offsets):
            values = np.quantile(offsets, [0, 0.5, 1])
            quantiles = dict(zip(quantiles, map(float, values), strict=True))
        return {
            "visits_a": len(self.shared) + len(self.only_a),
            "visits_b": len(self.shared) + len(self.only_b),
            "shared": len(self.shared),
            "only_a": len(self.only_a),
            "only_b": len(self.only_b),
            "nights": [night.isoformat() for night in self.nights],
            "left_out_a": self.left_out_a,
            "left_out_b": self.left_out_b,
            "offset_s": quantiles,
            "bands": {
                str(band): {str(k): int(v) for k, v in row.items()}
                for band, row in self.bands.to_dict("index").items()
            },
        }


def compare_visits(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    day_obs: date | None = None,
    all_nights: bool = False,
) -> Comparison:
    """Match the visits of two sequences by night, field and band.

    The n-th visit of a field in a band on a night in A is the n-th such visit in B.

    Parameters
    ----------
    a, b
        Visits with time, position and band, under the names of opsim or consdb.
    day_obs
        Compare this night alone.
    all_nights
        Compare every night of either; by default those on which both have visits,
        for other nights say nothing about the difference.

    Raises
    ------
    InvalidValueError
        If a column is missing, or there is no night to compare.
    """
    left, right = _visits(a), _visits(b)
    nights = _nights(left, right, day_obs, all_nights=all_nights)
    n_visits = len(left), len(right)
    left, right = (side[side["night"].isin(nights)] for side in (left, right))
    keys = ["night", "ra", "dec", "band", "n"]
    both = left.merge(right, on=keys, how="outer", suffixes=("_a", "_b"))
    both = both.sort_values(["mjd_a", "mjd_b"], ignore_index=True)
    in_a, in_b = both["mjd_a"].notna(), both["mjd_b"].notna()
    shared = both.loc[in_a & in_b].drop(columns="n")
    shared["offset_s"] = (shared["mjd_b"] - shared["mjd_a"]) * _DAY_S
    counts = {
        name: visits["band"].value_counts()
        for name, visits in (("a", left), ("b", right), ("shared", shared))
    }
    bands = pd.DataFrame(counts).fillna(0).astype("int64")
    return Comparison(
        shared=shared.reset_index(drop=True),
        only_a=_alone(both.loc[~in_b], "mjd_a"),
        only_b=_alone(both.loc[~in_a], "mjd_b"),
        bands=bands.reindex(sorted(bands.index, key=_band_order)),
        nights=nights,
        left_out_a=n_visits[0] - len(left),
        left_out_b=n_visits[1] - len(right),
    )


def _nights(
    left: pd.DataFrame, right: pd.DataFrame, day_obs: date | None, *, all_nights: bool
) -> list[date]:
    """Return the nights to compare, in order."""
    of_a, of_b = set(left["night"]), set(right["night"])
    if day_obs is not None:
        if day_obs not in of_a | of_b:
            raise InvalidValueError(
                f"neither sequence has visits on {day_obs}: A has {_span(of_a)}, "
                f"B has {_span(of_b)}"
            )
        return [day_obs]
    nights = of_a | of_b if all_nights else of_a & of_b
    if not nights and of_a | of_b:
        raise InvalidValueError(
            f"the sequences have no night in common: A has {_span(of_a)}, B has "
            f"{_span(of_b)}; compare all nights, or choose other sequences"
        )
    return sorted(nights)


def _span(nights: Collection[date]) -> str:
    return f"{min(nights)} to {max(nights)}" if nights else "no visits"


def _visits(visits: pd.DataFrame) -> pd.DataFrame:
    found = plain_visits(visits)
    found["ra"] = found["ra"].round(_POSITION_DECIMALS) % 360.0
    found["dec"] = found["dec"].round(_POSITION_DECIMALS)
    found["n"] = found.groupby(["night", "ra", "dec", "band"]).cumcount()
    return found


def _alone(rows: pd.DataFrame, time: str) -> pd.DataFrame:
    columns = {time: "mjd"}
    return rows.rename(columns=columns)[
        ["mjd", "ra", "dec", "band", "night"]
    ].reset_index(drop=True)


def _band_order(band: Any) -> tuple[int, str]:
    text = str(band)
    return ("ugrizy".find(text) if text in "ugrizy" else 6, text)


def plot_comparison(
    comparison: Comparison, path: str | Path, labels: tuple[str, str] = ("A", "B")
) -> Path:
    """Draw the progress, the time offsets and the bands of two sequences.

    The format follows the suffix of ``path``.

    Raises
    ------
    InvalidValueError
        If there is no such format.
    """
    # 0.5 s, for plots alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    from pipeline_runtime.figure_words import draw_words_plainly  # noqa: PLC0415

    figure = Figure(figsize=(8, 9), layout="constrained")
    formats = figure.canvas.get_supported_filetypes()
    if Path(path).suffix.removeprefix(".") not in formats:
        raise InvalidValueError(
            f"cannot draw {path}: the suffixes are {', '.join(formats)}"
        )
    short = [
        f"{side}: {label if len(label) <= 40 else label[:39] + '…'}"
        for side, label in zip("AB", labels, strict=True)
    ]
    progress, offsets, bands = figure.subplots(3, 1)
    for side, label in zip("ab", short, strict=True):
        alone = comparison.only_a if side == "a" else comparison.only_b
        mjds = np.sort(np.r_[comparison.shared[f"mjd_{side}"], alone["mjd"]])
        progress.plot(mjds, np.arange(1, len(mjds) + 1), label=label)
    progress.set(xlabel="MJD (UTC)", ylabel="visits so far")
    progress.legend()
    offsets.scatter(comparison.shared["mjd_a"], comparison.shared["offset_s"] / 60, s=4)
    offsets.axhline(0, color="gray", linewidth=0.8)
    offsets.set(xlabel="MJD (UTC) in A", ylabel="B later by (minutes)")
    for axes in (progress, offsets):
        axes.ticklabel_format(axis="x", useOffset=False)
    places = np.arange(len(comparison.bands))
    for shift, column, label in ((-0.2, "a", short[0]), (0.2, "b", short[1])):
        bands.bar(places + shift, comparison.bands[column], 0.4, label=label)
    bands.set_xticks(places, [str(band) for band in comparison.bands.index])
    bands.set(xlabel="band", ylabel="visits")
    draw_words_plainly(figure)
    figure.savefig(path)
    return Path(path)
