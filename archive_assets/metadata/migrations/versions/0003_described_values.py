"""Which values of a sequence have statistics: what shows that all were deleted.

A trigger adds to it whatever is inserted, old clients' rows too; nothing is ever
taken from it. Statistics that are replaced are described as before.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

_DESCRIBED = """
    ARRAY(
        SELECT DISTINCT
            CASE WHEN accumulated THEN 'all:' ELSE 'night:' END || value_name
        FROM {rows} AS stats WHERE stats.visitseq_uuid = registry.visitseq_uuid
    )
"""

_STATEMENTS = (
    """
    ALTER TABLE visitseq_registry
        ADD COLUMN described TEXT[] NOT NULL DEFAULT '{}'
    """,
    "COMMENT ON COLUMN visitseq_registry.described IS "
    "'Values with nightly statistics: night:NAME, or all:NAME if accumulated'",
    f"""
    UPDATE visitseq_registry AS registry
    SET described = {_DESCRIBED.format(rows="nightly_stats")}
    WHERE visitseq_uuid IN (SELECT visitseq_uuid FROM nightly_stats)
    """,
    f"""
    CREATE FUNCTION note_described() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        EXECUTE format($update$
            UPDATE %I.visitseq_registry AS registry
            SET described = ARRAY(
                SELECT DISTINCT unnest(described || {_DESCRIBED.format(rows="added")})
                ORDER BY 1)
            WHERE visitseq_uuid IN (SELECT visitseq_uuid FROM added)
              AND NOT described @> {_DESCRIBED.format(rows="added")}
        $update$, TG_TABLE_SCHEMA);
        RETURN NULL;
    END $$
    """,
    "REVOKE ALL ON FUNCTION note_described() FROM PUBLIC",
    """
    CREATE TRIGGER note_described AFTER INSERT ON nightly_stats
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION note_described()
    """,
)


def upgrade() -> None:
    """Add the column, filled from the statistics that there are, and its trigger."""
    for statement in _STATEMENTS:
        op.execute(statement)
