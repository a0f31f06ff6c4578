import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from l1db_pipeline.catalog.id_set import IdSet, sorted_unique
from l1db_pipeline.catalog.ids import new_object_ids

any_id = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20)
id_arrays = arrays(np.int64, st.integers(0, 60), elements=any_id)


@given(id_arrays, id_arrays)
def test_values_are_found_as_isin_finds_them(
    ids: NDArray[np.int64], values: NDArray[np.int64]
) -> None:
    some = np.concatenate([values, ids[::2]])

    assert np.array_equal(IdSet(ids).holds(some), np.isin(some, ids))


@given(id_arrays, id_arrays)
def test_places_are_those_of_the_last_equal_id(
    ids: NDArray[np.int64], values: NDArray[np.int64]
) -> None:
    places = IdSet(ids).places(np.concatenate([ids, values]))

    last = {int(value): place for place, value in enumerate(ids)}
    expected = [last.get(int(value), -1) for value in np.concatenate([ids, values])]
    assert places.tolist() == expected


def test_ids_of_visits_and_catalogs_are_all_found() -> None:
    ids = np.concatenate(
        [np.arange(0, 10**7, 997)]
        + [new_object_ids(20261122 * 10**5 + n, np.arange(5150)) for n in range(20)]
    )
    values = np.random.default_rng(1).permutation(ids)

    found = IdSet(ids)

    assert np.array_equal(ids[found.places(values)], values)
    assert not found.holds(values + (1 << 50)).any()


def test_ids_that_all_share_a_slot_are_found() -> None:
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)  # undoes the hash
    ids = (np.arange(300, dtype=np.uint64) * np.uint64(inverse)).view(np.int64)

    found = IdSet(ids)

    assert found.places(ids).tolist() == list(range(300))
    assert not found.holds(ids[:-1] + 1)[ids[:-1] + 1 != 0].any()


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_any_integers_are_taken(dtype: type[np.integer]) -> None:
    ids = np.array([5, 3, 9], dtype=dtype)

    assert IdSet(ids).places(np.array([9, 4, 5], dtype=dtype)).tolist() == [2, -1, 0]


def test_every_second_element_of_an_array_can_be_looked_up() -> None:
    ids = np.arange(100)[::3]

    assert IdSet(ids).holds(np.arange(100)[::-1])[::-1].tolist() == [
        number % 3 == 0 for number in range(100)
    ]


@given(id_arrays)
def test_sorted_unique_equals_numpy(ids: NDArray[np.int64]) -> None:
    assert np.array_equal(sorted_unique(ids), np.unique(ids))
