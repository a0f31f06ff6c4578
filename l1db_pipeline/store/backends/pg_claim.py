"""The claim of cells on PostgreSQL: one function, so that it is one statement."""

import psycopg

from l1db_pipeline.store.errors import StaleReadError
from l1db_pipeline.store.token import CellClaim

__all__ = ["CREATE_CLAIM", "claim_text", "stale_read"]

_STALE = "L1001"
CREATE_CLAIM = """
CREATE OR REPLACE FUNCTION {function} (mine bigint, cells bigint[], versions bigint[])
RETURNS void LANGUAGE plpgsql AS $claim$
DECLARE
  n_locked bigint;
  moved text;
BEGIN
  -- rows locked FOR UPDATE come in their newest committed state, also after a wait
  WITH held AS MATERIALIZED (
    SELECT c.cell, c."visitId", s.seen <> -1 AND c.version <> s.seen
      AND NOT (c."visitId" = mine AND c.since <= s.seen) AS is_stale
    FROM unnest(cells, versions) AS s (cell, seen) JOIN {table} c ON c.cell = s.cell
    ORDER BY c.cell FOR UPDATE OF c)
  SELECT count(*), string_agg(cell || ' ' || "visitId", ',') FILTER (WHERE is_stale)
    INTO n_locked, moved FROM held;
  IF moved IS NOT NULL THEN
    RAISE EXCEPTION 'stale read' USING ERRCODE = 'L1001', DETAIL = moved;
  END IF;
  IF n_locked <> cardinality(cells) THEN
    RAISE EXCEPTION '% cells have no row to lock', cardinality(cells) - n_locked;
  END IF;
  UPDATE {table} SET version = version + 1, "visitId" = mine,
    since = CASE WHEN "visitId" = mine THEN since ELSE version END
    WHERE cell = ANY(cells);
END $claim$
"""


def claim_text(function: str, claim: CellClaim) -> str:
    """Return the call of the function, which is there under a quoted name.

    It has no parameters, for these go with one statement a message; all values are
    whole numbers.
    """
    cells, seen = (
        f"'{{{','.join(map(str, values.tolist()))}}}'"
        for values in (claim.cells, claim.seen)
    )
    return f"SELECT {function}({int(claim.visit_id)}, {cells}, {seen})"


def stale_read(claim: CellClaim, error: BaseException | None) -> StaleReadError | None:
    """Return the refusal that an error of the function stands for, if it is one."""
    if not isinstance(error, psycopg.Error) or error.sqlstate != _STALE:
        return None
    moved = [pair.split() for pair in (error.diag.message_detail or "").split(",")]
    cells, visits = zip(*moved, strict=True)
    return StaleReadError(claim.visit_id, [*map(int, cells)], [*map(int, visits)])
