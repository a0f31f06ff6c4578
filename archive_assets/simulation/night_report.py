"""Pictures of a simulated night: when, where and in which bands it observes.

Drawn with matplotlib's Agg canvas and without pyplot, so that several can be drawn at
the same time in one process.
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archive_assets.simulation.site_data.files import day_obs_mjd
from pipeline_runtime.figure_words import draw_words_plainly
from visit_tables.directions import radec_to_xyz
from visit_tables.frames import with_band

__all__ = [
    "BAND_COLOURS",
    "PICTURES",
    "altitude_figure",
    "common_part",
    "comparison_figure",
    "hours_utc",
    "programme_figure",
    "save_png",
    "sky_figure",
    "visits_of_night",
    "write_night_report",
]

# Rubin's band colours and symbols, RTN-045
BAND_COLOURS = {
    "u": "#0c71ff",
    "g": "#49be61",
    "r": "#c61c00",
    "i": "#ffc200",
    "z": "#f341a2",
    "y": "#5d0000",
}
_BAND_MARKERS = {"u": "o", "g": "^", "r": "v", "i": "s", "z": "*", "y": "p"}
_VARIANT_COLOURS = (
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
    "#bbbbbb",
    "#000000",
)  # fmt: skip - colours that colour-blind people can tell apart, Paul Tol
_DPI = 110
_SAME_FIELD_DEG = 1.75


def visits_of_night(visits: pd.DataFrame, day_obs: date) -> pd.DataFrame:
    """Return the visits of one night, in order of time, with their ``band``."""
    noon = day_obs_mjd(day_obs)
    mjd = visits["observationStartMJD"]
    of_night = visits[(mjd >= noon) & (mjd < noon + 1)]
    return with_band(of_night.sort_values("observationStartMJD"))


def write_night_report(
    folder: Path,
    sequences: Mapping[str, pd.DataFrame],
    day_obs: date,
    *,
    note: str = "",
) -> dict[str, Path]:
    """Write the pictures of a night as PNG files.

    Parameters
    ----------
    folder
        Where they go; made if there is none.
    sequences
        Visits with opsim's columns by the name of their variant. The first is the
        nominal one: it is drawn by itself, and the others are compared with it.
    day_obs
        The night.
    note
        A text for the corner of each picture, such as "synthetic site data".

    Returns
    -------
    pictures
        Path by name, as `PICTURES` has them: ``comparison`` only with more than one
        sequence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nights = {name: visits_of_night(v, day_obs) for name, v in sequences.items()}
    return {
        kind: save_png(figure, folder / f"{day_obs:%Y%m%d}_{kind}.png", note=note)
        for kind, draw in PICTURES.items()
        if (figure := draw(nights, day_obs)) is not None
    }


def save_png(figure: Figure, path: Path, *, note: str = "") -> Path:
    """Write a figure; a picture that is there already is replaced in one step."""
    if note:
        figure.text(0.995, 0.005, note, ha="right", va="bottom", size=7, color="0.4")
    fresh = path.with_name(f".{path.name}.new")
    FigureCanvasAgg(figure)
    draw_words_plainly(figure)
    figure.savefig(fresh, format="png", dpi=_DPI)
    return fresh.replace(path)


def altitude_figure(visits: pd.DataFrame, title: str) -> Figure:
    """Draw altitude and airmass of each visit against time, by band."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    figure.suptitle(f"Altitude and airmass: {title} ({len(visits)} visits)")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    if visits.empty:
        _say_empty(upper)
        return figure
    hours = hours_utc(visits)
    for band in _bands(visits):
        rows = (visits["band"] == band).to_numpy()
        for axes, column in ((upper, "altitude"), (lower, "airmass")):
            axes.scatter(
                hours[rows],
                visits[column].to_numpy()[rows],
                s=12,
                marker=_BAND_MARKERS.get(band, "."),
                color=BAND_COLOURS.get(band, "0.5"),
                label=f"{band} ({rows.sum()})",
                linewidths=0,
            )
    upper.set(ylabel="altitude / deg", ylim=(15, 90))
    lower.set(ylabel="airmass", xlabel=f"hours after 0:00 UTC of {_utc_date(visits)}")
    lower.set_ylim(bottom=0.98)
    lower.invert_yaxis()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    upper.legend(loc="upper left", ncols=6, frameon=False, markerscale=1.6)
    return figure


def sky_figure(visits: pd.DataFrame, title: str) -> Figure:
    """Draw where on the sky the visits are, by band."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    figure.suptitle(f"Sky: {title} ({len(visits)} visits)")
    axes = figure.add_subplot(projection="mollweide")
    if visits.empty:
        _say_empty(axes)
        return figure
    centre_deg = _circular_mean_deg(visits["fieldRA"].to_numpy(dtype=float))
    for band in _bands(visits):
        rows = visits[visits["band"] == band]
        x_rad = np.radians(-_wrapped_deg(rows["fieldRA"].to_numpy() - centre_deg))
        axes.scatter(
            x_rad,
            np.radians(rows["fieldDec"].to_numpy()),
            s=52 - 7 * list(BAND_COLOURS).index(band),  # rings of pairs nest
            marker="o",
            facecolors="none",
            edgecolors=BAND_COLOURS.get(band, "0.5"),
            linewidths=0.8,
            label=f"{band} ({len(rows)})",
        )
    axes.grid(alpha=0.4)
    ticks_deg = np.arange(-150, 151, 30)
    axes.set_xticks(
        np.radians(ticks_deg),
        [f"{(centre_deg - tick) % 360:.0f}°" for tick in ticks_deg],
        size=8,
    )
    axes.set_xlabel("right ascension (east to the left), declination")
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return figure


def programme_figure(visits: pd.DataFrame, title: str) -> Figure:
    """Draw how many visits each programme has, by band."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    figure.suptitle(f"Visits per band and programme: {title}")
    axes = figure.subplots()
    if visits.empty:
        _say_empty(axes)
        return figure
    counts = pd.crosstab(_programmes(visits), visits["band"])
    counts = counts.loc[counts.sum(axis=1).sort_values().index]
    left = np.zeros(len(counts))
    for band in _bands(visits):
        width = counts[band].to_numpy()
        axes.barh(
            counts.index, width, left=left, color=BAND_COLOURS.get(band, "0.5"),
            label=f"{band} ({width.sum()})",
        )  # fmt: skip
        left += width
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center", size=9)
    axes.set(xlabel="visits")
    axes.margins(x=0.08)
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return figure


def comparison_figure(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> Figure:
    """Draw how each variant of a night differs from the first, the nominal one.

    Visits by band, visits made up to each moment, limiting depth, and which part of
    the nominal fields is observed in the same band too.
    """
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    figure.suptitle(f"Differences to nominal, night {day_obs}")
    axes = figure.subplots(2, 2)
    names = list(sequences)
    colours = dict(
        zip(names, np.resize(np.array(_VARIANT_COLOURS), len(names)), strict=True)
    )
    _draw_bands(axes[0, 0], sequences)
    _draw_lead(axes[0, 1], sequences, colours)
    _draw_depth(axes[1, 0], sequences)
    _draw_common(axes[1, 1], sequences, colours)
    return figure


def _draw_bands(axes: Axes, sequences: Mapping[str, pd.DataFrame]) -> None:
    left = np.zeros(len(sequences))
    for band, colour in BAND_COLOURS.items():
        width = [int((v["band"] == band).sum()) for v in sequences.values()]
        if any(width):
            axes.barh(list(sequences), width, left=left, color=colour, label=band)
            left += width
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center", size=8)
    axes.margins(x=0.1)
    axes.set_ylim(len(sequences) + 0.1, -0.6)  # the first on top, room for a legend
    axes.set(title="visits by band", xlabel="visits")
    _legend(axes, "lower right")


def _draw_lead(
    axes: Axes, sequences: Mapping[str, pd.DataFrame], colours: Mapping[str, str]
) -> None:
    every = np.concatenate(
        [v["observationStartMJD"].to_numpy(dtype=float) for v in sequences.values()]
    )
    axes.set(title="visits made, less nominal", ylabel="visits")
    axes.axhline(0, color="0.6", linewidth=0.8)
    if every.size == 0:
        _say_empty(axes)
        return
    moments = np.linspace(every.min(), every.max(), 300)
    made = {
        name: np.searchsorted(
            np.sort(v["observationStartMJD"].to_numpy()), moments, side="right"
        )
        for name, v in sequences.items()
    }
    nominal, *others = sequences
    hours = (moments - np.floor(moments[0])) * 24
    for name in others:
        axes.plot(hours, made[name] - made[nominal], color=colours[name], label=name)
    axes.set_xlabel("hours after 0:00 UTC")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def _draw_depth(axes: Axes, sequences: Mapping[str, pd.DataFrame]) -> None:
    nominal = next(iter(sequences.values()))
    reference = nominal.groupby("band")["fiveSigmaDepth"].median()
    rows = np.arange(len(sequences))
    for band in _bands(nominal):
        deeper = [
            float(v.loc[v["band"] == band, "fiveSigmaDepth"].median() - reference[band])
            if (v["band"] == band).any()
            else np.nan
            for v in sequences.values()
        ]
        axes.plot(
            deeper, rows, linestyle="none", marker=_BAND_MARKERS[band], markersize=8,
            color=BAND_COLOURS[band], label=band, alpha=0.85,
        )  # fmt: skip
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(rows, list(sequences))
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set(title="median five-sigma depth, less nominal", xlabel="mag")
    _legend(axes)


def _draw_common(
    axes: Axes, sequences: Mapping[str, pd.DataFrame], colours: Mapping[str, str]
) -> None:
    nominal, *others = sequences
    parts = [100 * common_part(sequences[nominal], sequences[name]) for name in others]
    axes.barh(others, parts, color=[colours[name] for name in others])
    for row, part in enumerate(parts):
        axes.text(part, row, f" {part:.0f} %", va="center", size=8)
    axes.invert_yaxis()
    axes.set(
        title="nominal fields that are observed in the same band",
        xlabel="% of the nominal visits with another within 1.75°",
        xlim=(0, 112),
    )


def common_part(nominal: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return the part of the nominal visits that another sequence covers, 0 to 1."""
    if nominal.empty:
        return 0.0
    n_found = 0
    for band, visits in nominal.groupby("band"):
        there = other[other["band"] == band]
        if there.empty:
            continue
        cosine = _unit_vectors(visits) @ _unit_vectors(there).T
        n_found += int(
            (cosine.max(axis=1) >= np.cos(np.radians(_SAME_FIELD_DEG))).sum()
        )
    return n_found / len(nominal)


def _unit_vectors(visits: pd.DataFrame) -> NDArray[np.float64]:
    return radec_to_xyz(*visits[["fieldRA", "fieldDec"]].to_numpy(dtype=float).T)


def _programmes(visits: pd.DataFrame) -> "pd.Series[str]":
    """Return each visit's programme; the scheduler's note where there is none."""
    programme = visits.get("science_program", pd.Series("", index=visits.index))
    note = visits.get("scheduler_note", pd.Series("", index=visits.index))
    named = programme.fillna("").astype(str).str.strip()
    noted = note.fillna("").astype(str).str.split(",").str[:2].str.join(",")
    return named.where(named != "", noted).replace("", "no programme")


def _bands(visits: pd.DataFrame) -> list[str]:
    present = set(visits["band"])
    return [band for band in BAND_COLOURS if band in present]


def hours_utc(visits: pd.DataFrame) -> NDArray[np.float64]:
    """Return the times of visits in hours after 0:00 UTC of their night."""
    mjd = visits["observationStartMJD"].to_numpy(dtype=float)
    return np.asarray((mjd - np.floor(np.median(mjd))) * 24)


def _utc_date(visits: pd.DataFrame) -> date:
    days = int(np.floor(visits["observationStartMJD"].median()))
    return date.fromordinal(date(1858, 11, 17).toordinal() + days)


def _wrapped_deg(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((angle_deg + 180) % 360 - 180)


def _circular_mean_deg(angle_deg: NDArray[np.float64]) -> float:
    mean = np.exp(1j * np.radians(angle_deg)).mean()
    return float(np.round(np.degrees(np.angle(mean)) / 30) * 30 % 360)


def _legend(axes: Axes, place: Literal["best", "lower right"] = "best") -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=6, frameon=False, fontsize=8, loc=place)


def _say_empty(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "no visits were possible", transform=axes.transAxes,
        ha="center", va="center", size=16, color="0.4",
    )  # fmt: skip


def _of_nominal(
    draw: Callable[[pd.DataFrame, str], Figure],
) -> Callable[[Mapping[str, pd.DataFrame], date], Figure]:
    """Return what draws the first sequence of a night alone."""

    def drawn(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> Figure:
        name, nominal = next(iter(sequences.items()))
        return draw(nominal, f"{day_obs}, {name}")

    return drawn


def _of_several(sequences: Mapping[str, pd.DataFrame], day_obs: date) -> Figure | None:
    return comparison_figure(sequences, day_obs) if len(sequences) > 1 else None


PICTURES: dict[str, Callable[[Mapping[str, pd.DataFrame], date], Figure | None]] = {
    "altitude": _of_nominal(altitude_figure),
    "sky": _of_nominal(sky_figure),
    "programmes": _of_nominal(programme_figure),
    "comparison": _of_several,
}
"""What is drawn of a night's sequences: a further picture is a module and a line here.

None is a picture of these sequences.
"""
