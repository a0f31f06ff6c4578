"""The tables, inheritance and views that clients of the original depend on.

Names, types, defaults and the order of columns are theirs; a database that the
original made is stamped with this revision, not run through it.
"""

from alembic import op

revision = "0001"
down_revision = None

_STATISTICS = """
    mean DOUBLE PRECISION, std DOUBLE PRECISION, min DOUBLE PRECISION,
    p05 DOUBLE PRECISION, q1 DOUBLE PRECISION, median DOUBLE PRECISION,
    q3 DOUBLE PRECISION, p95 DOUBLE PRECISION, max DOUBLE PRECISION
"""

_SEQUENCES = (
    """
    CREATE TABLE visitseq (
        visitseq_uuid UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        visitseq_sha256 BYTEA NOT NULL,
        visitseq_label TEXT NOT NULL,
        visitseq_url TEXT,
        telescope TEXT NOT NULL,
        first_day_obs DATE,
        last_day_obs DATE,
        creation_time TIMESTAMPTZ DEFAULT now()
    )
    """,
    """
    CREATE TABLE simulations (
        scheduler_version TEXT,
        config_url TEXT,
        conda_env_sha256 BYTEA,
        parent_visitseq_uuid UUID,
        sim_runner_kwargs JSONB,
        parent_last_day_obs DATE,
        PRIMARY KEY (visitseq_uuid)
    ) INHERITS (visitseq)
    """,
    """
    CREATE TABLE completed (
        query TEXT,
        PRIMARY KEY (visitseq_uuid)
    ) INHERITS (visitseq)
    """,
    """
    CREATE TABLE mixedvisitseq (
        last_early_day_obs DATE,
        first_late_day_obs DATE,
        early_parent_uuid UUID,
        late_parent_uuid UUID,
        PRIMARY KEY (visitseq_uuid)
    ) INHERITS (visitseq)
    """,
)

_ANNOTATIONS = (
    "CREATE TABLE tags (visitseq_uuid UUID, tag TEXT NOT NULL)",
    "CREATE INDEX tag_idx ON tags (tag)",
    """
    CREATE TABLE comments (
        visitseq_uuid UUID,
        comment_time TIMESTAMPTZ DEFAULT now(),
        author TEXT,
        comment TEXT NOT NULL
    )
    """,
    "CREATE INDEX comments_visitseq_idx ON comments (visitseq_uuid)",
    """
    CREATE TABLE files (
        visitseq_uuid UUID,
        file_type TEXT NOT NULL,
        file_sha256 BYTEA NOT NULL,
        file_url TEXT,
        PRIMARY KEY (visitseq_uuid, file_type)
    )
    """,
    "CREATE TABLE conda_env (conda_env_hash BYTEA PRIMARY KEY, conda_env JSONB NOT NULL)",
    f"""
    CREATE TABLE nightly_stats (
        visitseq_uuid UUID NOT NULL,
        day_obs DATE NOT NULL,
        value_name TEXT NOT NULL,
        accumulated BOOLEAN NOT NULL,
        count INTEGER,
        {_STATISTICS},
        PRIMARY KEY (visitseq_uuid, day_obs, value_name, accumulated)
    )
    """,
)

_METRICS = (
    """
    CREATE TABLE maf_metrics (
        maf_metric_name TEXT PRIMARY KEY,
        rubin_sim_version TEXT,
        maf_constraint TEXT,
        metric_class_name TEXT,
        metric_args JSONB,
        slicer_class_name TEXT,
        slicer_args JSONB
    )
    """,
    """
    CREATE TABLE maf_summary_metrics (
        visitseq_uuid UUID,
        maf_metric_name TEXT REFERENCES maf_metrics,
        day_obs DATE,
        accumulated BOOLEAN,
        summary_value DOUBLE PRECISION,
        PRIMARY KEY (visitseq_uuid, maf_metric_name)
    )
    """,
    "CREATE INDEX maf_summary_metrics_name_idx ON maf_summary_metrics (maf_metric_name)",
    """
    CREATE TABLE maf_metric_sets (
        metric_set TEXT,
        maf_metric_name TEXT REFERENCES maf_metrics,
        short_name TEXT,
        style TEXT,
        invert BOOLEAN,
        mag BOOLEAN,
        PRIMARY KEY (metric_set, maf_metric_name)
    )
    """,
    "CREATE INDEX maf_metric_sets_metric_name_idx ON maf_metric_sets (maf_metric_name)",
    "CREATE INDEX maf_metric_sets_set_idx ON maf_metric_sets (metric_set)",
    f"""
    CREATE TABLE maf_healpix_stats (
        visitseq_uuid UUID NOT NULL,
        maf_metric_name TEXT REFERENCES maf_metrics,
        day_obs DATE NOT NULL,
        accumulated BOOLEAN NOT NULL,
        nside INTEGER NOT NULL,
        count INTEGER NOT NULL,
        {_STATISTICS},
        url TEXT,
        PRIMARY KEY (visitseq_uuid, maf_metric_name, day_obs, accumulated, nside)
    )
    """,
)

_VIEWS = (
    # The columns only; revision 0002 gives the view its contents.
    """
    CREATE VIEW simulations_extra AS
    SELECT CAST(NULL AS DATE) AS sim_creation_day_obs,
           CAST(NULL AS BIGINT) AS daily_id,
           visitseq_uuid, visitseq_label, visitseq_url, telescope,
           first_day_obs, last_day_obs, creation_time,
           scheduler_version, config_url, sim_runner_kwargs,
           conda_env_sha256, parent_visitseq_uuid, parent_last_day_obs,
           CAST('[]' AS JSONB) AS tags,
           CAST('{}' AS JSONB) AS comments,
           CAST('{}' AS JSONB) AS files
    FROM simulations
    """,
    """
    CREATE VIEW conda_packages AS
    SELECT env.conda_env_hash,
           package.name AS package_name,
           package.channel,
           package.version AS package_version,
           package.base_url,
           package.platform,
           package.dist_name,
           package.build_number,
           package.build_string
    FROM conda_env AS env
    CROSS JOIN LATERAL jsonb_to_recordset(env.conda_env) AS package (
        name TEXT, channel TEXT, version TEXT, base_url TEXT, platform TEXT,
        dist_name TEXT, build_number TEXT, build_string TEXT
    )
    """,
    """
    CREATE VIEW simulation_packages AS
    SELECT simulations.visitseq_uuid, conda_packages.*
    FROM simulations
    JOIN conda_packages
        ON conda_packages.conda_env_hash = simulations.conda_env_sha256
    """,
    """
    CREATE VIEW maf_summary AS
    SELECT metric_sets.metric_set, metric_sets.maf_metric_name,
           visitseq.visitseq_label, summary.day_obs, summary.accumulated,
           summary.summary_value, metric_sets.short_name, metric_sets.style,
           metric_sets.invert, metric_sets.mag, tags.tag
    FROM maf_metric_sets AS metric_sets
    JOIN maf_summary_metrics AS summary USING (maf_metric_name)
    JOIN tags ON tags.visitseq_uuid = summary.visitseq_uuid
    JOIN visitseq ON visitseq.visitseq_uuid = summary.visitseq_uuid
    """,
)


def upgrade() -> None:
    """Make the relations."""
    for statement in (*_SEQUENCES, *_ANNOTATIONS, *_METRICS, *_VIEWS):
        op.execute(statement)
