"""Published runs of the original prototype, as lines of reference.

Medians of the per-visit timings that l1dbproto-notebooks published, at fixed visit
counts; hardware after DMTN-113, DMTN-156 and DMTN-184. Times of one machine are not
comparable with another's as absolute times; how they grow, and which mode is faster
than which, is.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["FIELDS_PER_HEMISPHERE", "PublishedRun", "published_runs"]

FIELDS_PER_HEMISPHERE = 2143.9
"""Fields of view in the hemisphere that the published runs observed (spec 5.8)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRun:
    """One published run: what it ran on, and seconds at some visits."""

    name: str
    ticket: str
    backend: str
    storage: str
    index_mode: str
    tiling: str
    note: str
    hardware: str
    points: tuple[tuple[int, float | None, float | None, float | None], ...]
    """Visit; seconds of select, of store and of the whole visit, `None` unknown.

    Select and store of a tiled run are means over its tiles.
    """

    @property
    def title(self) -> str:
        """What a legend says of the run."""
        return f"{self.backend}, {self.storage}, {self.index_mode}, {self.tiling}"


@cache
def published_runs() -> tuple[PublishedRun, ...]:
    """Return the published runs, in the order of their dates."""
    text = (files(__package__) / "published_runs.csv").read_text(encoding="utf-8")
    by_name: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        by_name.setdefault(row["run"], []).append(row)
    return tuple(
        PublishedRun(
            name=name,
            points=tuple(
                (
                    int(row["visit"]),
                    _seconds(row["select_s"]),
                    _seconds(row["store_s"]),
                    _seconds(row["visit_s"]),
                )
                for row in rows
            ),
            **{key: rows[0][key] for key in _TEXTS},
        )
        for name, rows in by_name.items()
    )


_TEXTS = (
    "ticket", "backend", "storage", "index_mode", "tiling", "note", "hardware",
)  # fmt: skip


def _seconds(text: str) -> float | None:
    return float(text) if text else None
