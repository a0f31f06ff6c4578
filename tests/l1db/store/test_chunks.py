import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.tables.chunks import encode_chunks, group_chunks


def _objects(
    items: list[str] | list[bytes],
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    values = np.empty(len(items), dtype=object)
    values[:] = items
    return values


def test_text_and_blobs_of_several_chunks_come_back() -> None:
    words = ["", "å", "three", "b" * 300, "", "last"]
    blobs = [word.encode()[::-1] for word in words]
    is_null = np.array([False, True, False, False, True, False])
    rows = Catalog(
        {"name": _objects(words), "data": _objects(blobs), "n": np.arange(6)},
        {"data": is_null},
    )
    pixels = np.array([7, 7, 8, 9, 9, 9], dtype=np.int32)

    chunks = [(pixel, raw) for pixel, _, raw in encode_chunks("T", rows, pixels)]
    (group,) = group_chunks("T", chunks)

    assert group.counts.tolist() == [2, 1, 3]
    assert group.column("name")[0].tolist() == words
    found, mask = group.column("data", np.arange(1, 6))
    assert mask is not None
    assert mask.tolist() == is_null[1:].tolist()
    assert found[~mask].tolist() == [blobs[2], blobs[3], blobs[5]]
