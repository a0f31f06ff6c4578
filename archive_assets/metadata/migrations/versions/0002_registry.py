"""A registry of all sequences, indexes and constraints under the original's tables.

Old clients neither see nor need what is added: triggers fill the registry when they
insert. Their rows are taken over as they are; a row that breaks a new constraint
stays (``NOT VALID``) and `vseqarchive verify` names it. Tags that were stored twice
are stored once.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_KINDS = ("visitseq", "simulations", "completed", "mixedvisitseq")
_ANNOTATIONS = (
    "tags",
    "comments",
    "files",
    "nightly_stats",
    "maf_summary_metrics",
    "maf_healpix_stats",
)

_REGISTRY = (
    """
    CREATE TABLE visitseq_registry (
        visitseq_uuid UUID PRIMARY KEY,
        kind TEXT NOT NULL
            CHECK (kind IN ('visitseq', 'simulations', 'completed', 'mixedvisitseq')),
        sim_creation_day_obs DATE,
        daily_id BIGINT,
        state TEXT NOT NULL DEFAULT 'open'
            CHECK (state IN ('open', 'complete', 'trashed')),
        state_time TIMESTAMPTZ NOT NULL DEFAULT now(),
        state_before_trash TEXT,
        idempotency_key TEXT CHECK (idempotency_key <> ''),
        hash_algorithm TEXT NOT NULL DEFAULT 'rubin_sim-records',
        visits_sha256 BYTEA CHECK (octet_length(visits_sha256) = 32),
        visits_size BIGINT CHECK (visits_size >= 0),
        UNIQUE (sim_creation_day_obs, daily_id)
    )
    """,
    "COMMENT ON TABLE visitseq_registry IS "
    "'One row for each visit sequence of any kind: what the tables cannot say'",
    "COMMENT ON COLUMN visitseq_registry.daily_id IS "
    "'Number of the simulation within its UTC-12 creation day; never used again'",
    "COMMENT ON COLUMN visitseq_registry.hash_algorithm IS "
    "'Algorithm of visitseq_sha256; rubin_sim-records cannot be computed again'",
    "COMMENT ON COLUMN visitseq_registry.visits_sha256 IS "
    "'SHA-256 of the bytes at visitseq_url; null if unknown'",
    """
    CREATE TABLE daily_counters (
        sim_creation_day_obs DATE PRIMARY KEY,
        last_daily_id BIGINT NOT NULL
    )
    """,
    """
    INSERT INTO visitseq_registry (visitseq_uuid, kind)
    SELECT visitseq_uuid, relname
    FROM visitseq JOIN pg_class ON pg_class.oid = visitseq.tableoid
    ON CONFLICT DO NOTHING
    """,
    """
    UPDATE visitseq_registry AS registry
    SET sim_creation_day_obs = ranked.day, daily_id = ranked.number
    FROM (
        SELECT visitseq_uuid, day,
               row_number() OVER (PARTITION BY day ORDER BY time, visitseq_uuid)
                   AS number
        FROM (
            SELECT visitseq_uuid,
                   coalesce(creation_time, now()) AS time,
                   CAST(coalesce(creation_time, now()) AT TIME ZONE 'UTC'
                        - INTERVAL '12 hours' AS DATE) AS day
            FROM simulations
        ) AS dated
    ) AS ranked
    WHERE registry.visitseq_uuid = ranked.visitseq_uuid
    """,
    """
    INSERT INTO daily_counters
    SELECT sim_creation_day_obs, max(daily_id) FROM visitseq_registry
    WHERE daily_id IS NOT NULL GROUP BY sim_creation_day_obs
    """,
)

# The functions run as their owner, so that a writer of the original needs no new
# rights, and name the schema at run time, so that it can be renamed.
_FUNCTIONS = (
    """
    CREATE FUNCTION register_visitseq() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        created TIMESTAMPTZ := coalesce(NEW.creation_time, now());
        day DATE;
        number BIGINT;
    BEGIN
        IF TG_TABLE_NAME = 'simulations' THEN
            day := CAST(created AT TIME ZONE 'UTC' - INTERVAL '12 hours' AS DATE);
            EXECUTE format(
                'INSERT INTO %I.daily_counters AS counter VALUES ($1, 1)
                 ON CONFLICT (sim_creation_day_obs)
                 DO UPDATE SET last_daily_id = counter.last_daily_id + 1
                 RETURNING last_daily_id', TG_TABLE_SCHEMA)
            INTO number USING day;
        END IF;
        EXECUTE format(
            'INSERT INTO %I.visitseq_registry
                 (visitseq_uuid, kind, sim_creation_day_obs, daily_id)
             VALUES ($1, $2, $3, $4)', TG_TABLE_SCHEMA)
        USING NEW.visitseq_uuid, TG_TABLE_NAME::text, day, number;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION forget_visits_hash() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        EXECUTE format(
            'UPDATE %I.visitseq_registry SET visits_sha256 = NULL, visits_size = NULL
             WHERE visitseq_uuid = $1 AND visits_sha256 IS NOT NULL', TG_TABLE_SCHEMA)
        USING NEW.visitseq_uuid;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION unregister_visitseq() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        EXECUTE format(
            'DELETE FROM %I.visitseq_registry WHERE visitseq_uuid = $1 AND kind = $2',
            TG_TABLE_SCHEMA)
        USING OLD.visitseq_uuid, TG_TABLE_NAME::text;
        RETURN NULL;
    END $$
    """,
)

_CONSTRAINTS = (
    """
    ALTER TABLE visitseq
        ADD CONSTRAINT nights_in_order CHECK (first_day_obs <= last_day_obs) NOT VALID,
        ADD CONSTRAINT sha256_length
            CHECK (octet_length(visitseq_sha256) = 32) NOT VALID,
        ADD CONSTRAINT telescope_name
            CHECK (telescope ~ '^[A-Za-z0-9][A-Za-z0-9_.-]*$') NOT VALID
    """,
    """
    ALTER TABLE tags
        ADD CONSTRAINT tag_of_sequence CHECK (visitseq_uuid IS NOT NULL) NOT VALID,
        ADD CONSTRAINT tag_not_empty CHECK (tag <> '') NOT VALID
    """,
    """
    ALTER TABLE comments
        ADD CONSTRAINT comment_of_sequence CHECK (visitseq_uuid IS NOT NULL) NOT VALID
    """,
    """
    ALTER TABLE files
        ADD COLUMN file_size BIGINT CHECK (file_size >= 0),
        ADD COLUMN hash_algorithm TEXT NOT NULL DEFAULT 'sha256',
        ADD CONSTRAINT file_sha256_length
            CHECK (octet_length(file_sha256) = 32) NOT VALID
    """,
    """
    ALTER TABLE conda_env
        ADD COLUMN hash_algorithm TEXT NOT NULL DEFAULT 'sha256-of-text'
    """,
    """
    DELETE FROM tags USING tags AS kept
    WHERE tags.visitseq_uuid = kept.visitseq_uuid AND tags.tag = kept.tag
      AND tags.ctid > kept.ctid
    """,
)

_INDEXES = (
    "CREATE UNIQUE INDEX tags_unique ON tags (visitseq_uuid, tag)",
    """
    CREATE INDEX simulations_nights_idx
    ON simulations (telescope, last_day_obs, first_day_obs)
    """,
    "CREATE INDEX simulations_parent_idx ON simulations (parent_visitseq_uuid)",
    """
    CREATE INDEX simulations_version_idx
    ON simulations (scheduler_version, config_url)
    """,
    "CREATE INDEX nightly_stats_day_idx ON nightly_stats (day_obs, visitseq_uuid)",
    """
    CREATE UNIQUE INDEX visitseq_registry_key_idx
    ON visitseq_registry (idempotency_key) WHERE state <> 'trashed'
    """,
    """
    CREATE INDEX visitseq_registry_unfinished_idx
    ON visitseq_registry (state, state_time) WHERE state <> 'complete'
    """,
    "DROP INDEX IF EXISTS files_visitseq_idx",  # the primary key serves
    "DROP INDEX IF EXISTS maf_metrics_name_idx",  # the primary key serves
)

_NIGHTS = """
    CREATE INDEX {kind}_range_idx ON {kind} USING gist ((
        CASE WHEN first_day_obs <= last_day_obs
        THEN daterange(first_day_obs, last_day_obs, '[]') END
    ))
"""

_SIMULATIONS_EXTRA = """
    CREATE OR REPLACE VIEW simulations_extra AS
    SELECT registry.sim_creation_day_obs,
           registry.daily_id,
           s.visitseq_uuid,
           s.visitseq_label,
           s.visitseq_url,
           s.telescope,
           s.first_day_obs,
           s.last_day_obs,
           s.creation_time,
           s.scheduler_version,
           s.config_url,
           s.sim_runner_kwargs,
           s.conda_env_sha256,
           s.parent_visitseq_uuid,
           s.parent_last_day_obs,
           coalesce((
               SELECT jsonb_agg(DISTINCT tag) FROM tags
               WHERE tags.visitseq_uuid = s.visitseq_uuid
           ), '[]') AS tags,
           coalesce((
               SELECT jsonb_object_agg(
                   (to_jsonb(comment_time AT TIME ZONE 'UTC') #>> '{}') || '+00:00',
                   text)
               FROM (
                   SELECT comment_time,
                          string_agg(comment, E'\\n' ORDER BY comment) AS text
                   FROM comments
                   WHERE comments.visitseq_uuid = s.visitseq_uuid
                     AND comment_time IS NOT NULL
                   GROUP BY comment_time
               ) AS instants
           ), '{}') AS comments,
           coalesce((
               SELECT jsonb_object_agg(file_type, file_url) FROM files
               WHERE files.visitseq_uuid = s.visitseq_uuid
           ), '{}') AS files
    FROM simulations AS s
    JOIN visitseq_registry AS registry USING (visitseq_uuid)
    WHERE registry.state <> 'trashed'
"""


def upgrade() -> None:
    """Add the registry, its triggers, constraints and indexes; keep every row."""
    for statement in (*_REGISTRY, *_FUNCTIONS):
        op.execute(statement)
    for function in ("register", "forget", "unregister"):
        suffix = "visits_hash" if function == "forget" else "visitseq"
        op.execute(f"REVOKE ALL ON FUNCTION {function}_{suffix}() FROM PUBLIC")
    for kind in _KINDS:
        _add_triggers(kind)
        op.execute(_NIGHTS.format(kind=kind))
        op.execute(f"CREATE INDEX {kind}_creation_idx ON {kind} (creation_time)")
    for statement in (*_CONSTRAINTS, *_INDEXES):
        op.execute(statement)
    for table in _ANNOTATIONS:
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_visitseq_fkey "
            "FOREIGN KEY (visitseq_uuid) REFERENCES visitseq_registry "
            "ON DELETE CASCADE NOT VALID"
        )
    op.execute(_SIMULATIONS_EXTRA)


def _add_triggers(kind: str) -> None:
    op.execute(
        f"CREATE TRIGGER register_visitseq AFTER INSERT ON {kind} "
        "FOR EACH ROW EXECUTE FUNCTION register_visitseq()"
    )
    op.execute(
        f"CREATE TRIGGER forget_visits_hash AFTER UPDATE OF visitseq_url ON {kind} "
        "FOR EACH ROW EXECUTE FUNCTION forget_visits_hash()"
    )
    op.execute(
        f"CREATE TRIGGER unregister_visitseq AFTER DELETE ON {kind} "
        "FOR EACH ROW EXECUTE FUNCTION unregister_visitseq()"
    )
