"""Pictures in an asset's metadata: PNG files shown inside the web UI."""

import base64
from pathlib import Path

import dagster as dg

__all__ = ["picture", "png"]

_MAX_BYTES = 400_000  # an event is a row of Dagster's database


def picture(path: Path) -> dg.MetadataValue:
    """Return a PNG as metadata that the web UI shows, or its path if it is large."""
    content = path.read_bytes()
    if len(content) > _MAX_BYTES:
        return dg.MetadataValue.path(path)
    return png(content, path.stem)


def png(content: bytes, name: str) -> dg.MetadataValue:
    """Return the bytes of a PNG as metadata that the web UI shows."""
    text = base64.b64encode(content).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")
