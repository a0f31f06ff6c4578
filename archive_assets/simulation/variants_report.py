"""All variants of a night side by side: pictures, and numbers against the nominal."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archive_assets.simulation.night_report import (
    BAND_COLOURS,
    common_part,
    comparison_figure,
    hours_utc,
    save_png,
    visits_of_night,
)

__all__ = ["differences", "variants_figure", "write_variants_report"]

_MINUTES = 24 * 60
_ROWS = (("altitude", "altitude / deg"), ("airmass", "airmass"))


def write_variants_report(
    folder: Path,
    sequences: Mapping[str, pd.DataFrame],
    day_obs: date,
    *,
    note: str = "",
) -> dict[str, Path]:
    """Write the pictures that set the variants of a night side by side.

    Parameters
    ----------
    folder
        Where they go; made if there is none.
    sequences
        Visits with opsim's columns by variant, the nominal one first.
    day_obs
        The night.
    note
        A text for the corner of each picture.

    Returns
    -------
    pictures
        Path by name: ``variants`` and, with more than one, ``differences``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nights = {name: visits_of_night(v, day_obs) for name, v in sequences.items()}
    figures = {"variants": variants_figure(nights, day_obs)}
    if len(nights) > 1:
        figures["differences"] = comparison_figure(nights, day_obs)
    return {
        kind: save_png(figure, folder / f"{day_obs:%Y%m%d}_{kind}.png", note=note)
        for kind, figure in figures.items()
    }


def variants_figure(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> Figure:
    """Draw altitude and airmass of each variant against time, on common axes."""
    figure = Figure(figsize=(2.6 * max(3, len(sequences)), 6), layout="constrained")
    figure.suptitle(f"Altitude and airmass of the variants, night {day_obs}")
    axes = figure.subplots(2, len(sequences), sharex=True, sharey="row", squeeze=False)
    for column, (name, visits) in enumerate(sequences.items()):
        axes[0, column].set_title(f"{name}\n{len(visits)} visits", fontsize=9)
        for row, (quantity, _) in enumerate(_ROWS):
            _draw(axes[row, column], visits, quantity)
    for row, (_, label) in enumerate(_ROWS):
        axes[row, 0].set_ylabel(label)
    axes[1, 0].invert_yaxis()
    figure.supxlabel("hours after 0:00 UTC", fontsize=9)
    handles = {
        label: handle
        for panel in axes[0]
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles, loc="outside lower left", ncols=6,
        frameon=False, markerscale=3,
    )  # fmt: skip
    return figure


def _draw(axes: Axes, visits: pd.DataFrame, quantity: str) -> None:
    axes.grid(alpha=0.3)
    if visits.empty:
        axes.text(0.5, 0.5, "no visits", transform=axes.transAxes, ha="center")
        return
    hours, values = hours_utc(visits), visits[quantity].to_numpy()
    for band, colour in BAND_COLOURS.items():
        rows = (visits["band"] == band).to_numpy()
        if rows.any():
            axes.scatter(
                hours[rows], values[rows], s=5, color=colour, label=band, linewidths=0
            )


def differences(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> pd.DataFrame:
    """Return how each variant of a night differs from the first, the nominal one.

    Returns
    -------
    differences
        One row a variant: ``variant``, ``visits``, ``more_visits`` than nominal,
        ``begins_later_min``, ``ends_later_min``, median ``airmass`` and
        ``five_sigma_depth`` (mag), and ``same_fields``, the part (0 to 1) of the
        nominal visits with another within 1.75 deg in the same band.
    """
    nights = {name: visits_of_night(v, day_obs) for name, v in sequences.items()}
    nominal = next(iter(nights.values()))
    begin, end = _first_and_last(nominal)
    rows = []
    for name, visits in nights.items():
        first, last = _first_and_last(visits)
        rows.append(
            {
                "variant": name,
                "visits": len(visits),
                "more_visits": len(visits) - len(nominal),
                "begins_later_min": (first - begin) * _MINUTES,
                "ends_later_min": (last - end) * _MINUTES,
                "airmass": float(visits["airmass"].median()),
                "five_sigma_depth": float(visits["fiveSigmaDepth"].median()),
                "same_fields": common_part(nominal, visits),
            }
        )
    return pd.DataFrame(rows)


def _first_and_last(visits: pd.DataFrame) -> tuple[float, float]:
    mjd = visits["observationStartMJD"].to_numpy(dtype=float)
    return (float(mjd.min()), float(mjd.max())) if mjd.size else (np.nan, np.nan)
