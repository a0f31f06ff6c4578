"""The page of a night for the person on duty: one text, as HTML, JSON and plain text.

A page is a list of sections; who has the facts makes them. What cannot be found out is
a section that says so, so that a page is there on the worst of nights.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from html import escape
from typing import Any

from lsst.resources import ResourcePath

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.nights.index import publish
from archive_assets.nights.places import page_url
from archive_assets.objects.transfer import store_errors

__all__ = [
    "NightPage",
    "NoPageError",
    "Section",
    "attempt",
    "page_text",
    "publish_page",
    "read_page",
]


class NoPageError(ArchiveError):
    """A night has no page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One question about a night and its answer.

    Attributes
    ----------
    title, summary
        The question in words, and the answer in one line.
    is_well
        Whether nothing need be done.
    columns, rows
        A table below; texts that begin with ``http`` are links in HTML.
    """

    title: str
    summary: str
    is_well: bool = True
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NightPage:
    """All that is known of a night.

    Attributes
    ----------
    day_obs
        The night.
    written
        When, aware.
    sections
        In the order in which they are read.
    """

    day_obs: date
    written: datetime
    sections: Sequence[Section]

    @property
    def to_do(self) -> list[Section]:
        """The sections that are not well."""
        return [section for section in self.sections if not section.is_well]

    @property
    def headline(self) -> str:
        """The night in one line."""
        if not self.to_do:
            return f"night {self.day_obs}: good"
        titles = ", ".join(section.title for section in self.to_do)
        return f"night {self.day_obs}: look at {titles}"


def attempt(title: str, make: Callable[[], Section]) -> Section:
    """Return a section, or one that says why it cannot be made."""
    try:
        return make()
    except (*EXPECTED_ERRORS, OSError) as error:
        return Section(title=title, summary=f"unknown: {error}", is_well=False)


def page_text(page: NightPage) -> str:
    """Return a page as plain text."""
    lines = [page.headline, f"written {page.written:%Y-%m-%d %H:%M} UTC"]
    for section in page.sections:
        mark = "" if section.is_well else " (!)"
        lines += ["", f"{section.title}{mark}: {section.summary}"]
        lines += _table_lines([section.columns, *section.rows] if section.rows else [])
    return "\n".join(lines)


def _table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def publish_page(
    page: NightPage, base: str, pictures: Mapping[str, bytes] | None = None
) -> str:
    """Publish a page beside the indexes, and return the URL of its HTML.

    The newest night that has a page is also ``latest``.

    Parameters
    ----------
    page
        The page.
    base
        Folder of all indexes.
    pictures
        PNG files by their names, shown below the sections.
    """
    contents = {
        "json": json.dumps(asdict(page), default=str, indent=1).encode(),
        "html": _html(page, pictures or {}).encode(),
    }
    names = [page.day_obs.isoformat()]
    if _is_newest(page.day_obs, base):
        names.append("latest")
    for name in names:
        for kind, content in contents.items():
            location = ResourcePath(page_url(name, base, kind))
            with store_errors(location):
                publish(location, content)
    return page_url(names[0], base)


def _is_newest(day_obs: date, base: str) -> bool:
    try:
        return read_page("latest", base).day_obs <= day_obs
    except NoPageError:
        return True


def read_page(name: str, base: str = "") -> NightPage:
    """Return a page that was published.

    Parameters
    ----------
    name
        The night, ``YYYY-MM-DD``, or ``latest``.
    base
        Folder of all indexes; else ``PRENIGHT_INDEX_URL``.

    Raises
    ------
    NoPageError
        If there is none, or one that cannot be read.
    StoreError
        If the store fails.
    """
    location = ResourcePath(page_url(name, base, "json"))
    try:
        with store_errors(location):
            content = location.read()
        found: dict[str, Any] = json.loads(content)
        return NightPage(
            day_obs=date.fromisoformat(found["day_obs"]),
            written=datetime.fromisoformat(found["written"]),
            sections=[Section(**section) for section in found["sections"]],
        )
    except FileNotFoundError:
        said = f"there is no page of {name} at {location.geturl()}"
    except (ValueError, KeyError, TypeError):
        said = f"the page at {location.geturl()} cannot be read"
    raise NoPageError(f"{said}: launch the job night_report for that night")


_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;
color:#222}h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .2em}
h2:before{content:"\\2713  ";color:#228833}
h2.bad:before{content:"\\26A0  ";color:#c61c00}
.bad+p{font-weight:600}table{border-collapse:collapse;font-size:13px}
td,th{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid #ddd;
vertical-align:top}td{overflow-wrap:anywhere}
th,td:first-child{white-space:nowrap}img{max-width:49%;height:auto}
.when{color:#666}
"""


def _html(page: NightPage, pictures: Mapping[str, bytes]) -> str:
    """Return a page that needs no other file."""
    night = escape(page.headline)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{night}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{night[0].upper()}{night[1:]}</h1>",
        f"<p class='when'>written {page.written:%Y-%m-%d %H:%M} UTC</p>",
        *map(_section_html, page.sections),
        *(
            f"<img alt='{escape(name)}' src='data:image/png;base64,"
            f"{base64.b64encode(content).decode()}'>"
            for name, content in pictures.items()
        ),
        "</body></html>",
    ]
    return "\n".join(parts)


def _section_html(section: Section) -> str:
    bad = "" if section.is_well else " class='bad'"
    head = f"<h2{bad}>{escape(section.title)}</h2><p>{escape(section.summary)}</p>"
    if not section.rows:
        return head
    columns = "".join(f"<th>{escape(name)}</th>" for name in section.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>"
        for row in section.rows
    )
    return f"{head}<table><tr>{columns}</tr>{rows}</table>"


def _cell(text: str) -> str:
    shown = escape(text)
    if text.startswith(("http://", "https://")):
        return f"<a href='{shown}'>{shown}</a>"
    return shown
