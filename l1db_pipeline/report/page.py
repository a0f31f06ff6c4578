"""A report as one HTML page that needs no other file, and its figures as PNG files."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline_runtime.figure_words import draw_words_plainly

__all__ = ["Section", "Table", "write_page"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem } h2 { font-size: 1.25rem; margin-top: 2.2rem;
     border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: 0.88rem; display: block;
        overflow-x: auto }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #e3e3e3; text-align: right;
         font-variant-numeric: tabular-nums }
td:first-child, td:nth-child(-n+3) { white-space: nowrap }
th { background: #f5f5f5 } td:first-child, th:first-child { text-align: left }
figure { margin: 1rem 0 } img { max-width: 100%; height: auto }
ul { padding-left: 1.2rem } li { margin: 0.15rem 0 }
figcaption, .note { color: #555; font-size: 0.9rem }
.bad { color: #b00020; font-weight: 600 } .good { color: #00695c; font-weight: 600 }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of text cells; the first column is set left, the others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading with text, tables and figures below it."""

    title: str
    """Empty for a section right below the title of the page."""
    text: str = ""
    is_bad: bool | None = None
    """Sets the text apart as bad or good news; `None` for plain text."""
    points: Sequence[str] = ()
    """A list below the text."""
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, str, Figure]] = ()
    """File name without suffix, caption, figure."""


def write_page(folder: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write ``index.html`` and a PNG for each figure; return the page's path.

    Files of an earlier report of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for section in sections:
        parts += _section(folder, section)
    parts.append("</body></html>")
    page = folder / "index.html"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _section(folder: Path, section: Section) -> list[str]:
    parts = [f"<h2>{html.escape(section.title)}</h2>"] if section.title else []
    if section.text:
        kind = {True: "bad", False: "good", None: "note"}[section.is_bad]
        parts.append(f'<p class="{kind}">{html.escape(section.text)}</p>')
    if section.points:
        items = "".join(f"<li>{html.escape(point)}</li>" for point in section.points)
        parts.append(f"<ul>{items}</ul>")
    for table in section.tables:
        parts += _table(table)
    for name, caption, figure in section.figures:
        png = _png(figure)
        (folder / f"{name}.png").write_bytes(png)
        text = html.escape(caption, quote=True)
        parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,'
            f'{base64.b64encode(png).decode()}"><figcaption>{text}</figcaption></figure>'
        )
    return parts


def _table(table: Table) -> list[str]:
    header = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    rows = [
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    ]
    return [
        f"<table><thead><tr>{header}</tr></thead><tbody>",
        *rows,
        "</tbody></table>",
    ]


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    draw_words_plainly(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
