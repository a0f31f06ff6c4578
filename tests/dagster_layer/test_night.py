"""A night through both locations on real resources, and again: the same rows."""

import dagster as dg
import psycopg
from dagster_layer.real_site import N_VISITS, NIGHT, Site


def _archived(site: Site) -> list[tuple[object, ...]]:
    with psycopg.connect(**site.connection) as connection:  # type: ignore[arg-type]
        return connection.execute(
            "SELECT visitseq_uuid, visitseq_url, first_day_obs FROM vsmd.simulations"
        ).fetchall()


def _l1db(site: Site) -> dict[str, object]:
    with site.resources["l1db"].open() as store:
        assert not store.verify()
        return dict(store.science_digest()) | dict(store.row_counts())


def _metadata(
    site: Site, key: dg.AssetKey, partition: str
) -> dict[str, dg.MetadataValue]:
    event = site.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
    ).records[0]
    assert event.asset_materialization is not None
    return dict(event.asset_materialization.metadata)


def test_a_night_run_twice_leaves_the_same_rows(site: Site) -> None:
    site.prepare_visits()
    site.ap()
    site.run("nightly", NIGHT)
    once = _archived(site), _l1db(site)

    site.prepare_visits()
    site.ap()
    site.run("nightly", NIGHT)

    assert (_archived(site), _l1db(site)) == once
    assert len(once[0]) == 1
    assert once[1]["L1DbProtoVisits"] == N_VISITS
