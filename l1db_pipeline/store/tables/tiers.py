"""Size-tiered merging: which chunks of a pixel become one of the next tier, and when.

A visit writes one chunk of tier 0 in each pixel. F chunks of a tier are merged into one
of the next, so each row is written two or three times in its life and a pixel has few
chunks. The first merge of a tier comes early, at a time of the pixel's own, so that the
pixels of a field, which are all visited together, do not fall due together.

Chunks of history are merged within a calendar month of visit time, as rows expire: a
chunk goes whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.months import month_of, starts

__all__ = [
    "ALL_TILE",
    "CURRENT_TIERS",
    "HISTORY_TIERS",
    "TIER_MARK",
    "TOP_TIER",
    "Tiers",
]

TIER_MARK = "@"
"""First letter of the name that a merged chunk has in the place of a tile's."""
TOP_TIER = 99
"""Tier of what a merge of everything (a month, a rebuild) has left."""
ALL_TILE = f"{TIER_MARK}all"
"""Name of a chunk that has all of a pixel, whatever the month."""
_SPAN = ("firstTime", "lastTime")
_MIX = 0x9E3779B97F4A7C15
_ALL_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Tiers:
    """How chunks of one table are merged."""

    fan: int
    """So many chunks of a tier become one of the next."""
    most_rows: int | None
    """A tier with more rows stays as it is: fewer chunks would read no faster."""
    by_month: bool = False
    """Whether chunks are merged with those of the same month (UTC) only."""

    def mergeable(self, held: Catalog, time: np.datetime64) -> Catalog:
        """Return those of some chunks that may be merged with a visit's of a time."""
        if not self.by_month:
            return held
        first, last = (month_of(held[name]) for name in _SPAN)
        month = month_of(time)
        return held.take((first == month) & (last == month))

    def span(self, time: np.datetime64) -> list[Condition]:
        """Return the conditions of `mergeable` on chunks."""
        if not self.by_month:
            return []
        month = month_of(time)
        return [
            Condition(_SPAN[0], Op.AT_LEAST, starts(month)),
            Condition(_SPAN[1], Op.LESS, starts(month + 1)),
        ]

    def due(self, pixels: NDArray[np.int64], held: Catalog) -> Mapping[int, int]:
        """Return the pixels whose lower tiers are to be merged, and into which tier.

        Parameters
        ----------
        pixels
            Each gets one more chunk, of tier 0, by the caller.
        held
            ``pixel``, ``tier`` and ``nRows`` of the chunks that these pixels have, and
            that may be merged with theirs.
        """
        n_chunks: dict[tuple[int, int], int] = {}
        n_rows: dict[tuple[int, int], int] = {}
        tops: dict[int, int] = {}
        columns = (held[name].tolist() for name in ("pixel", "tier", "nRows"))
        for pixel, tier, n in zip(*columns, strict=True):
            n_chunks[pixel, tier] = n_chunks.get((pixel, tier), 0) + 1
            n_rows[pixel, tier] = n_rows.get((pixel, tier), 0) + n
            if tier < TOP_TIER:
                tops[pixel] = max(tier, tops.get(pixel, 0))
        found = {}
        for pixel in pixels.tolist():
            tier = 0
            while tier < TOP_TIER - 1:
                n = n_chunks.get((pixel, tier), 0) + 1  # one comes from below
                is_first = tier >= tops.get(pixel, 0)
                is_full = (
                    self.most_rows is not None
                    and n_rows.get((pixel, tier), 0) > self.most_rows
                )
                if is_full or n < self._limit(pixel, tier, is_first=is_first):
                    break
                tier += 1
            if tier:
                found[pixel] = tier
        return found

    def broken(self, held: Catalog) -> Iterator[tuple[str, int]]:
        """Yield what is wrong with chunks, and in which pixel.

        ``held`` has ``pixel``, ``tile``, ``tier``, ``nRows`` and ``lastTime`` of all
        chunks. Merges that meet leave a chunk to each other, so a tier may have twice
        its fan.
        """
        tiers: dict[tuple[int, int, int], list[int]] = {}
        names = ("pixel", "tile", "tier", "nRows")
        months = month_of(held[_SPAN[1]]).astype(np.int64)
        columns = (held[name].tolist() for name in names)
        for pixel, tile, tier, n_rows, month in zip(
            *columns, (months * self.by_month).tolist(), strict=True
        ):
            tiers.setdefault((pixel, tier, month), []).append(n_rows)
            if tier and not tile.startswith(TIER_MARK):
                yield f"a chunk of tier {tier} is named {tile!r} like a visit's", pixel
        for (pixel, tier, _), counts in tiers.items():
            n_least = len(counts) if tier < TOP_TIER else 0
            is_small = self.most_rows is None or sum(counts) <= self.most_rows
            if is_small and n_least > 2 * self.fan:
                yield f"tier {tier} has {n_least} chunks, merged at {self.fan}", pixel

    def _limit(self, pixel: int, tier: int, *, is_first: bool) -> int:
        if not is_first:
            return self.fan
        # neighbours' numbers differ by few: their bits are mixed before the modulo
        mixed = (pixel * 128 + tier + 1) * _MIX & _ALL_BITS
        return 2 + (mixed >> 40) % (self.fan - 1)


CURRENT_TIERS = Tiers(fan=8, most_rows=None)
"""Current objects: most rows supersede others, and merging is what drops these."""
HISTORY_TIERS = Tiers(fan=12, most_rows=60_000, by_month=True)
