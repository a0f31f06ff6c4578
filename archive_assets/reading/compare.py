"""Compare two visit sequences: which visits they share, and when each has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archive_assets.metadata.errors import InvalidValueError
from visit_tables.day_obs import date_of_mjd, night_mjds
from visit_tables.frames import batch_of_frame
from visit_tables.time_scales import UTC_COLUMNS, mjd_utc

__all__ = ["Comparison", "compare_visits", "plot_comparison"]

_NAMES = {
    "mjd": ("observationStartMJD", "obs_start_mjd"),
    "ra": ("fieldRA", "s_ra"),
    "dec": ("fieldDec", "s_dec"),
    "band": ("band", "filter"),
}
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
    """

    shared: pd.DataFrame
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    bands: pd.DataFrame

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
            "offset_s": quantiles,
            "bands": {
                str(band): {str(k): int(v) for k, v in row.items()}
                for band, row in self.bands.to_dict("index").items()
            },
        }


def compare_visits(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Match the visits of two sequences by night, field and band.

    The n-th visit of a field in a band on a night in A is the n-th such visit in B.

    Parameters
    ----------
    a, b
        Visits with time, position and band, under the names of opsim or consdb.

    Raises
    ------
    InvalidValueError
        If a column is missing.
    """
    left, right = _visits(a), _visits(b)
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
    )


def _visits(visits: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame(index=range(len(visits)))
    for name, spellings in _NAMES.items():
        present = [spelling for spelling in spellings if spelling in visits.columns]
        if not present:
            raise InvalidValueError(
                f"cannot compare: no column {' or '.join(spellings)} in the visits"
            )
        found[name] = visits[present[0]].to_numpy()
        if name == "mjd":
            found[name] = mjd_utc(present[0], found[name].to_numpy(dtype=np.float64))
    batch = batch_of_frame(pd.DataFrame({UTC_COLUMNS[0]: found["mjd"]}))
    found["night"] = [date_of_mjd(int(mjd)) for mjd in night_mjds(batch)]
    found["ra"] = found["ra"].round(_POSITION_DECIMALS) % 360.0
    found["dec"] = found["dec"].round(_POSITION_DECIMALS)
    found = found.sort_values("mjd", ignore_index=True)
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
