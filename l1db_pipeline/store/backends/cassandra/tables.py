"""The tables of a keyspace, and what all statements on chunks share.

=============  ==========================  ==========================================
table          partition                   what
=============  ==========================  ==========================================
``ledger``     visit, tile                 which attempt holds or has stored the part
``parts``      visit                       its tiles: every attempt, with its time
``journal``    month of the visit's time   every attempt by time, with its counts
``ids``        kind, id / 2**20            ids that may come once only, and homes
``strays``     pixel                       homes of objects that were ever seen in it
``cells``      64 cells of the sky         what each attempt has read or written there
four tables    pixel, month                chunks of rows, in the usual format
``settings``   name                        settings
``timings``    visit                       what its steps cost
=============  ==========================  ==========================================

A chunk of kind 0 is what an attempt wrote; one of kind 1 is merged, and counts only if
the partition's ``base`` names it. Its key has the ``epoch`` in the place of a visit, so
that a reader who pages finds a newer one behind an older one, never before it. Current
objects are of month 0. Write-once rows have timestamp 1, so that a deletion
by a conditional batch, whose timestamp is its ballot, wins whatever the clocks say.
"""

from typing import NamedTuple
from uuid import UUID

import numpy as np

__all__ = [
    "CHUNK_TABLES",
    "CURRENT",
    "DEFINITIONS",
    "FORCED",
    "SAVED",
    "SOURCES",
    "TABLES",
    "VERSIONS",
    "Tag",
    "month_at",
    "month_of",
    "place_number",
]

CURRENT, VERSIONS, SOURCES, FORCED = "current", "versions", "sources", "forced"
CHUNK_TABLES = (CURRENT, VERSIONS, SOURCES, FORCED)
"""In the order of their numbers in the ledger's list of places."""
SAVED = "@saved"
"""Stands for a tile in the entry that `L1Store.save_visit` makes."""
_CHUNKS = """CREATE TABLE IF NOT EXISTS {}%s (pixel int, month int, kind tinyint,
    visit_id bigint, tile text, attempt uuid, n_rows int, data blob, tags blob,
    base uuid static, epoch int static,
    PRIMARY KEY ((pixel, month), kind, visit_id, tile, attempt))"""
DEFINITIONS = {
    "ledger": """CREATE TABLE IF NOT EXISTS {}ledger (visit_id bigint, tile text,
        state text, attempt uuid, content text, month int, places blob,
        new_objects int, PRIMARY KEY ((visit_id, tile)))""",
    "parts": """CREATE TABLE IF NOT EXISTS {}parts (visit_id bigint, tile text,
        attempt uuid, time bigint, n_tiles int, is_stored boolean,
        PRIMARY KEY (visit_id, tile, attempt))""",
    "journal": """CREATE TABLE IF NOT EXISTS {}journal (month int, time bigint,
        visit_id bigint, tile text, attempt uuid, n_tiles int, versions int,
        sources int, forced int, last_object bigint, last_source bigint,
        new_objects int, is_stored boolean,
        PRIMARY KEY (month, time, visit_id, tile, attempt))""",
    "ids": """CREATE TABLE IF NOT EXISTS {}ids (kind tinyint, prefix bigint,
        visit_id bigint, tile text, attempt uuid, month int, ids blob, pixels blob,
        PRIMARY KEY ((kind, prefix), visit_id, tile, attempt))""",
    "strays": """CREATE TABLE IF NOT EXISTS {}strays (pixel int, home int,
        PRIMARY KEY (pixel, home))""",
    "cells": """CREATE TABLE IF NOT EXISTS {}cells (sector bigint, visit_id bigint,
        tile text, attempt uuid, cells bigint, folded blob static, epoch int static,
        PRIMARY KEY (sector, visit_id, tile, attempt))""",
    **{name: _CHUNKS % name for name in CHUNK_TABLES},
    "settings": """CREATE TABLE IF NOT EXISTS {}settings (name text PRIMARY KEY,
        value text)""",
    "timings": """CREATE TABLE IF NOT EXISTS {}timings (visit_id bigint, tile text,
        steps text, PRIMARY KEY (visit_id, tile))""",
}
TABLES = tuple(DEFINITIONS)
_N_PIXEL_BITS = 32


class Tag(NamedTuple):
    """One attempt at one part of a visit."""

    visit_id: int
    tile: str
    attempt: UUID


def month_of(time: np.datetime64) -> int:
    """Return months since 1970."""
    return int(time.astype("M8[M]").astype(np.int64))


def place_number(table: str, pixel: int) -> int:
    """Return how the ledger's list of places names a pixel of a table."""
    return CHUNK_TABLES.index(table) << _N_PIXEL_BITS | pixel


def month_at(number: int, month: int) -> int:
    """Return the month of an attempt's chunk at a place: current objects have none."""
    return 0 if number < 1 << _N_PIXEL_BITS else month
