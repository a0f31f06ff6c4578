"""Figures in an asset's metadata: PNG shown inside the web UI."""

import base64
import io

import dagster as dg
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["figure_picture"]

_DPI = 70  # an event is a row of Dagster's database


def figure_picture(figure: Figure, name: str) -> dg.MetadataValue:
    """Return a figure as metadata that the web UI shows."""
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    text = base64.b64encode(content.getvalue()).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")
