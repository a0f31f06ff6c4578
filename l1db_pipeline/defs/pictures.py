"""Figures in an asset's metadata: PNG shown inside the web UI."""

import io
from typing import Any

import dagster as dg

from pipeline_runtime.dagster.pictures import png

__all__ = ["figure_picture"]

_DPI = 70  # an event is a row of Dagster's database


def figure_picture(
    figure: Any,  # matplotlib's Figure: its import would slow every run's start
    name: str,
) -> dg.MetadataValue:
    """Return a figure as metadata that the web UI shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from pipeline_runtime.figure_words import draw_words_plainly

    FigureCanvasAgg(figure)
    draw_words_plainly(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return png(content.getvalue(), name)
