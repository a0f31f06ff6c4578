"""Every check fails, and names the fault, when the fault is planted."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster_layer.real_site import Site
from opsim_night import NIGHT

from archive_assets.defs.names import archived_key, plans, simulation_key
from l1db_pipeline.report import page

# a variant with statistics: the first has none, as the original's
PLAN = next(plan for plan in plans() if plan.variant.statistics)


def _failed(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        found.check_name: str(found.description)
        for found in result.get_asset_check_evaluations()
        if not found.passed
        and found.check_name
        != "tonight_is_published"  # jobs leave it out, a selection does not
    }


def _sql(site: Site, statement: str) -> None:
    with psycopg.connect(**site.connection) as connection:  # type: ignore[arg-type]
        assert connection.execute(statement.encode()).rowcount


def _report(site: Site, **form: Any) -> Mapping[str, str]:
    config = {"ops": {"l1db__timing_report": {"config": form}}}
    return _failed(site.run("timing_report", config=config))


def test_checks_of_the_l1_database_name_what_was_done_to_it(
    stored_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_png", lambda _: b"")  # not looked at here
    _sql(stored_site, 'DELETE FROM "DiaSource"')

    failed = _report(stored_site, most_seconds=1e-6)

    assert failed.keys() == {"visits_in_time", "growth_within_model"}
    assert "one visit in ten takes" in failed["visits_in_time"]
    assert "DiaSource has 0 rows, expected" in failed["growth_within_model"]


_FIRST = '"diaObjectId" = (SELECT min("diaObjectId") FROM "DiaObject")'


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(
            f'DELETE FROM "DiaObject" WHERE {_FIRST}',
            "in DiaObjectLast without any version",
            id="a-current-version-of-no-object",
        ),
        pytest.param(
            'UPDATE "DiaObject" SET "validityStart" = "validityStart" +'
            f" INTERVAL '1 day' WHERE {_FIRST}",
            "DiaObjectLast differs from the latest version",
            id="another-version-than-the-current-one",
        ),
        pytest.param(
            'DELETE FROM "DiaSource" WHERE "diaSourceId" ='
            ' (SELECT min("diaSourceId") FROM "DiaSource")',
            "rows, the ledger says",
            id="fewer-rows-than-the-ledger-has",
        ),
        pytest.param(
            'UPDATE "DiaForcedSource" SET "flags" = "flags" + 1 WHERE "diaObjectId" ='
            ' (SELECT min("diaObjectId") FROM "DiaForcedSource")',
            "the rows have other content than was stored",
            id="other-rows-than-the-ledger-has",
        ),
    ],
)
def test_the_check_of_the_database_says_which_invariant_is_broken(
    stored_site: Site, statement: str, said: str
) -> None:
    _sql(stored_site, statement)
    (result,) = (
        found
        for found in stored_site.run("verify_l1db").get_asset_check_evaluations()
        if found.check_name == "store_is_consistent"
    )

    assert not result.passed
    rows = result.metadata["found"].value.records  # type: ignore[union-attr]
    assert said in "\n".join(row.data["problem"] for row in rows)


def _archive_from_file(site: Site) -> dg.ExecuteInProcessResult:
    op = "__".join(simulation_key(PLAN).path)
    form = {"n_nights": 1, "opsim_file": str(site.opsim)}
    return site.run(
        "prenight",
        NIGHT,
        {"ops": {op: {"config": form}}},
        asset_selection=[
            simulation_key(PLAN),
            archived_key(PLAN),
            dg.AssetKey(["archive", "prenight_index"]),
        ],
        raise_on_error=False,
    )


def test_checks_of_the_archive_name_what_was_done_to_it(site: Site) -> None:
    sound = _failed(_archive_from_file(site))
    _sql(site, "DELETE FROM vsmd.nightly_stats WHERE value_name = 'altitude'")
    _sql(site, "DELETE FROM vsmd.tags WHERE tag = 'nominal'")
    robbed = _failed(_archive_from_file(site))
    (visits,) = (site.folder / "store").rglob("visits.h5")
    visits.write_bytes(visits.read_bytes()[:-1])
    changed = _archive_from_file(site)

    assert not sound
    assert robbed == {
        "statistics_present": "no statistics of altitude",
        "lists_nominal": robbed["lists_nominal"],
    }
    assert "is tagged prenight, ideal, nominal" in robbed["lists_nominal"]
    assert "hashes_hold" in _failed(changed)
    assert not changed.success
