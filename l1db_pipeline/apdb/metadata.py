"""The metadata of an APDB, kept among the settings of its database."""

from collections.abc import Generator

from lsst.dax.apdb.apdbMetadata import ApdbMetadata
from typing_extensions import override

from l1db_pipeline.apdb.config import OpenStore

__all__ = ["L1ApdbMetadata"]

_PREFIX = "apdb."


class L1ApdbMetadata(ApdbMetadata):
    """Keys and values, both texts.

    Parameters
    ----------
    opened
        The store of the APDB.
    """

    def __init__(self, opened: OpenStore) -> None:
        self._opened = opened
        self._store = opened.store

    @override
    def get(self, key: str, default: str | None = None) -> str | None:
        value = self._store.get_setting(_PREFIX + key)
        return default if value is None else value

    @override
    def set(self, key: str, value: str, *, force: bool = False) -> None:
        if not key or not value:
            raise ValueError("metadata key and value must not be empty: give both")
        if not force and self.get(key) is not None:
            raise KeyError(f"Metadata key {key!r} already exists")
        self._store.put_setting(_PREFIX + key, value, replace=True)

    @override
    def delete(self, key: str) -> bool:
        return self._opened.daytime.delete_setting(_PREFIX + key)

    @override
    def items(self) -> Generator[tuple[str, str], None, None]:
        for name, value in self._store.read_settings(_PREFIX).items():
            yield name.removeprefix(_PREFIX), value

    @override
    def empty(self) -> bool:
        return not self._store.read_settings(_PREFIX)
