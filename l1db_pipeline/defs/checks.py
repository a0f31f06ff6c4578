"""Checks of the L1 database that run by themselves: invariants, reachability."""

import dagster as dg

from l1db_pipeline.defs.resources import L1dbResource
from l1db_pipeline.errors import EXPECTED_ERRORS
from pipeline_runtime.dagster.checks import check_result
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.visit_names import STORED_KEY

__all__ = ["checks"]

_SHOWN = 100


@dg.asset_check(
    asset=STORED_KEY,
    name="store_is_consistent",
    pool=L1DB,
    description=(
        "Ledger equals tables, one current version per object, positions and packed "
        "history agree with the rows. Reads the whole database."
    ),
)
def store_is_consistent(l1db: L1dbResource) -> dg.AssetCheckResult:
    """Verify every invariant of the database."""
    from l1db_pipeline.runs.kept_pointings import verify_pointings
    from l1db_pipeline.runs.kept_settings import verify_settings
    from l1db_pipeline.store.base import Verification

    with l1db.open() as store:
        findings = store.verify()
        findings += verify_settings(store, Verification())
        findings += verify_pointings(store, Verification())
        n_visits = store.row_counts().get("L1DbProtoVisits", 0)
    found = [str(finding) for finding in findings[:_SHOWN]]
    return check_result(
        "store_is_consistent",
        found,
        metadata={"findings": len(findings), "visits": n_visits},
    )


@dg.asset_check(
    asset=["l1db", "schema"],
    name="database_answers",
    description="The database can be reached and holds the tables of this version.",
)
def database_answers(l1db: L1dbResource) -> dg.AssetCheckResult:
    """Count the rows of every table."""
    try:
        with l1db.open() as store:
            n_tables = len(store.row_counts())
    except EXPECTED_ERRORS as error:
        return check_result("database_answers", [str(error)])
    return check_result("database_answers", [], metadata={"tables": n_tables})


checks = [store_is_consistent, database_answers]
