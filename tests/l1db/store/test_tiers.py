import numpy as np
import pytest

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.tables.chunks import encode_chunks, group_chunks
from l1db_pipeline.store.tables.tiers import TOP_TIER, Tiers

TIERS = Tiers(fan=8, most_rows=1000)
FIELD = np.arange(40_000, 40_016)


def _held(chunks: list[tuple[int, int, int]]) -> Catalog:
    pixels, tiers, n_rows = np.array(chunks, dtype=np.int64).reshape(-1, 3).T
    tiles = np.array(["@" if tier else "" for tier in tiers], dtype=object)
    when = np.full(len(chunks), np.datetime64("2026-01-31T23:59:59", "us"))
    times = {"firstTime": when, "lastTime": when}
    columns = {"pixel": pixels, "tile": tiles, "tier": tiers, "nRows": n_rows}
    return Catalog({**columns, **times})


def test_pixels_of_a_field_do_not_fall_due_together() -> None:
    first = {
        n: len(
            TIERS.due(FIELD, _held([(int(p), 0, 9) for p in FIELD for _ in range(n)]))
        )
        for n in range(1, 8)
    }

    new = np.diff([0, *first.values()])
    assert first[7] == len(FIELD)
    assert new.max() <= len(FIELD) // 2
    assert np.count_nonzero(new) >= 4


def test_after_the_first_merge_a_tier_is_due_at_its_fan() -> None:
    one = FIELD[:1]
    held = [(int(one[0]), 1, 50)]

    for n_chunks in range(7):
        assert TIERS.due(one, _held(held + [(int(one[0]), 0, 9)] * n_chunks)) == {}
    due = TIERS.due(one, _held(held + [(int(one[0]), 0, 9)] * 7))

    assert list(due) == one.tolist()
    assert due[int(one[0])] >= 1


@pytest.mark.parametrize("tier", [0, 1])
def test_a_tier_of_many_rows_is_left_as_it_is(tier: int) -> None:
    pixel = int(FIELD[0])
    full = [(pixel, 0, 9)] * 7 + [(pixel, 2, 9)] + [(pixel, tier, 1001)]

    due = TIERS.due(FIELD[:1], _held(full))

    assert due == ({} if tier == 0 else {pixel: 1})


def test_what_a_month_left_is_no_tier_to_fill() -> None:
    pixel = int(FIELD[0])

    assert TIERS.due(FIELD[:1], _held([(pixel, TOP_TIER, 9)] * 20)) == {}


@pytest.mark.parametrize(
    ("time", "by_month", "n_merged"),
    [("2026-01-01", True, 7), ("2026-02-01", True, 0), ("2026-02-01", False, 7)],
)
def test_history_is_merged_within_a_month(
    time: str, by_month: bool, n_merged: int
) -> None:
    tiers = Tiers(fan=8, most_rows=1000, by_month=by_month)
    held = _held([(int(FIELD[0]), 0, 9)] * 7)

    found = tiers.mergeable(held, np.datetime64(time, "us"))

    assert len(found) == n_merged


def test_a_merged_chunk_that_is_named_like_a_visits_is_told() -> None:
    held = _held([(7, 1, 9)])
    wrong = Catalog({**held.columns, "tile": np.array(["2x3"], dtype=object)})

    assert list(TIERS.broken(held)) == []
    assert [pixel for _, pixel in TIERS.broken(wrong)] == [7]


@pytest.mark.parametrize(("n_chunks", "n_rows", "is_found"), [
    (16, 9, False), (17, 9, True), (17, 900, False),
])  # fmt: skip
def test_a_tier_that_no_merge_has_emptied_is_told(
    n_chunks: int, n_rows: int, is_found: bool
) -> None:
    held = _held([(7, 0, n_rows)] * n_chunks)

    assert [pixel for _, pixel in TIERS.broken(held)] == [7] * is_found


def test_ids_of_any_width_and_range_come_back() -> None:
    edges = np.array([-(2**63), 2**63 - 1, 2**61 + 5, 0, 2**61 + 6, 2**61 + 7])
    close = np.arange(6) + 2**62
    visits = np.array([1, 1, 1, 2, 2, 2])
    rows = Catalog({"wide": edges, "close": close, "l1VisitId": visits})

    chunks = encode_chunks("T", rows, np.full(6, 3, np.int32), segments=visits)
    (group,) = group_chunks("T", [(pixel, raw) for pixel, _, raw in chunks])

    for name, values in rows.columns.items():
        assert group.column(name)[0].tolist() == values.tolist()
        out = np.empty(6, dtype=np.int64)
        if group.fill(name, out):
            assert out.tolist() == values.tolist()


def test_ids_with_nulls_or_without_repetition_have_no_dictionary() -> None:
    ids = np.array([5, 5, 5, 9, 9, 9])
    pixels = np.full(6, 3, np.int32)
    is_null = np.array([True, False, False, False, False, False])
    for rows, is_listed in (
        (Catalog({"id": ids}), True),
        (Catalog({"id": ids}, {"id": is_null}), False),
        (Catalog({"id": np.arange(6)}), False),
    ):
        ((_, _, raw),) = encode_chunks("T", rows, pixels, dictionary="id")
        (group,) = group_chunks("T", [(3, raw)])

        assert (group.entries("id") is not None) == is_listed
        found, mask = group.column("id")
        kept = np.ones(6, dtype=np.bool_) if mask is None else ~mask
        assert found[kept].tolist() == rows["id"][~rows.null_mask("id")].tolist()
