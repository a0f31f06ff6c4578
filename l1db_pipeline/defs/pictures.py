"""Figures in an asset's metadata: PNG shown inside the web UI."""

import base64
import io
from typing import Any

import dagster as dg

__all__ = ["figure_picture"]

_DPI = 70  # an event is a row of Dagster's database


def figure_picture(
    figure: Any,  # matplotlib's Figure: its import would slow every run's start
    name: str,
) -> dg.MetadataValue:
    """Return a figure as metadata that the web UI shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    text = base64.b64encode(content.getvalue()).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")
