"""The data store of the archive: files and object stores behind one safe face.

An object is staged beside its place, read back and compared, and only then given
its name; so a name always stands for a whole and proved content. Places are
``base/telescope/creation-day/uuid/file``.
"""

import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from lsst.resources import ResourcePath
from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.objects.names import UnsafeNameError, check_name
from archive_assets.objects.transfer import (
    SINGLE_PUT_BYTES,
    HashMismatchError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreError,
    hash_local,
    hash_object,
    publish,
    put_new_s3,
    remove_quietly,
    stage,
    store_errors,
)
from pipeline_runtime.urls import check_url
from visit_tables.day_obs import day_obs_at

__all__ = [
    "STAGED_PREFIX",
    "DataStore",
    "HashMismatchError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "OutsideStoreError",
    "StoreError",
    "StoredObject",
    "UnsafeNameError",
    "check_name",
]

TRASH = ".trash"
STAGED_PREFIX = ".staged-"


class OutsideStoreError(ArchiveError, ValueError):
    """A URL does not lie within the data store, or names a folder."""

    @override
    def __str__(self) -> str:
        return f"{self.args[0]} is not an object of the data store {self.args[1]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """An object of the store; its size is in bytes.

    ``sha256`` is of its content as it was read back, or None where that was not
    asked for. ``stored`` is when the store itself says that it was written; None
    where that was not asked for, or the store does not say.
    """

    url: ResourcePath
    size: int
    sha256: bytes | None
    stored: datetime | None = None


class DataStore:
    """Objects under one URL.

    Parameters
    ----------
    base
        URL or path of a folder: ``file``, ``s3``, or another scheme that
        ``lsst.resources`` can write; a URL with a key or password is refused.

    Notes
    -----
    Safe to share between threads and processes. Names that begin with a dot are
    the store's own: ``.trash`` and what is being staged.
    """

    def __init__(self, base: str | Path | ResourcePath) -> None:
        check_url(base, "the data store")
        self.base = ResourcePath(base, forceDirectory=True, forceAbsolute=True)
        self._downloads: Path | None = None

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base.geturl()!r})"

    def folder(
        self, telescope: str, creation_time: datetime, visitseq_uuid: UUID | str
    ) -> ResourcePath:
        """Return the folder of a visit sequence.

        Parameters
        ----------
        telescope
            Name of the telescope.
        creation_time
            Aware time of creation; its date at UTC-12 is part of the place.
        visitseq_uuid
            UUID of the sequence.

        Raises
        ------
        UnsafeNameError
            If the telescope cannot be part of a path.
        NaiveTimeError
            If the time has no zone.
        """
        check_name(telescope, "telescope")
        day = day_obs_at(creation_time, "creation_time").isoformat()
        uuid = str(UUID(str(visitseq_uuid)))
        return self.base.join(telescope).join(day).join(uuid, forceDirectory=True)

    def location(
        self,
        telescope: str,
        creation_time: datetime,
        visitseq_uuid: UUID | str,
        file_name: str,
    ) -> ResourcePath:
        """Return the place of a file of a visit sequence; see `folder`."""
        check_name(file_name, "file name")
        return self.folder(telescope, creation_time, visitseq_uuid).join(
            file_name, forceDirectory=False
        )

    def put(
        self,
        source_path: str | Path,
        location: ResourcePath | str,
        *,
        replace: bool = False,
    ) -> StoredObject:
        """Store a file: stage it, read it back, compare, and give it its name.

        Parameters
        ----------
        source_path
            A local file.
        location
            Where to store it, as `location` gave it.
        replace
            Whether another content may be there. It stays until the new one is
            proved.

        Returns
        -------
        stored
            What is stored now. If the same content was there already, nothing was
            written.

        Raises
        ------
        ObjectExistsError
            If another content is there and may not be replaced.
        HashMismatchError
            If what was written reads back differently. Nothing was published.
        StoreError
            If the source cannot be read or the store fails. Nothing is left.
        """
        target = self._object(location)
        sha256, size = hash_local(source_path)
        with store_errors(target):
            is_there = target.exists()
        if is_there:
            found = self.info(target)
            if found.sha256 == sha256:
                return found
            if not replace:
                raise ObjectExistsError(target, "exists")
        if target.scheme == "s3" and not replace and size <= SINGLE_PUT_BYTES:
            self._put_at_once(source_path, target, sha256)
        else:
            self._put_staged(source_path, target, sha256, replace=replace)
        return StoredObject(url=target, size=size, sha256=sha256)

    def _put_at_once(
        self, source: str | Path, target: ResourcePath, sha256: bytes
    ) -> None:
        try:
            put_new_s3(source, target)
        except ObjectExistsError:
            # somebody else was faster: well if with the same content
            _compare_or_refuse(target, sha256)
            return
        try:
            _compare(target, sha256)
        except HashMismatchError:
            with store_errors(target):
                remove_quietly(target)
            raise

    def _put_staged(
        self, source: str | Path, target: ResourcePath, sha256: bytes, *, replace: bool
    ) -> None:
        name = f"{STAGED_PREFIX}{secrets.token_hex(8)}-{target.basename()}"
        staged = target.updatedFile(name)
        try:
            stage(source, staged)
            _compare(staged, sha256)
            try:
                publish(staged, target, replace=replace)
            except ObjectExistsError:
                # somebody else was faster: well if with the same content
                _compare_or_refuse(target, sha256)
        finally:
            with store_errors(staged):
                remove_quietly(staged)
        if target.scheme != "file":  # a file was renamed, everything else copied
            _compare(target, sha256)

    def get(
        self,
        url: ResourcePath | str,
        expected_sha256: bytes | None = None,
        to: str | Path | None = None,
    ) -> Path:
        """Bring an object to a local file, and compare its hash on the way.

        Parameters
        ----------
        url
            An object, of this store or of elsewhere.
        expected_sha256
            What its SHA-256 must be; None accepts any.
        to
            The file to write, which must not exist. None gives a path that is
            only good for as long as this `DataStore`: the object itself if it is
            a local file, else a temporary copy.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        HashMismatchError
            If the content is another one. No file is left.
        ObjectExistsError
            If `to` exists.
        """
        source = ResourcePath(url)
        if to is None and source.isLocal:
            if expected_sha256 is not None:
                _compare(source, expected_sha256)
            elif not source.exists():
                raise ObjectNotFoundError(source, "no such object")
            return Path(source.ospath)
        target = self._download_path(source) if to is None else Path(to)
        if target.exists():
            raise ObjectExistsError(target, "exists")
        partial = target.with_name(f"{STAGED_PREFIX}{secrets.token_hex(8)}")
        try:
            with store_errors(target), partial.open("xb") as stream:
                sha256, _ = hash_object(source, stream)
            if expected_sha256 not in {None, sha256}:
                raise HashMismatchError(source, expected_sha256 or b"", sha256)
            publish(ResourcePath(partial), ResourcePath(target), replace=False)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _download_path(self, source: ResourcePath) -> Path:
        if self._downloads is None:
            self._downloads = Path(tempfile.mkdtemp(prefix="vseqarchive-"))
            weakref.finalize(self, shutil.rmtree, self._downloads, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=self._downloads))
        return folder / (source.basename() or "object")

    def exists(self, url: ResourcePath | str) -> bool:
        """Return whether there is such an object.

        Raises
        ------
        StoreError
            If the store cannot tell.
        """
        source = ResourcePath(url)
        with store_errors(source):
            return bool(source.exists())

    def info(self, url: ResourcePath | str) -> StoredObject:
        """Return size and hash of an object, both of its content as it is read now.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        """
        source = ResourcePath(url)
        sha256, size = hash_object(source)
        return StoredObject(url=source, size=size, sha256=sha256)

    def list_objects(
        self, prefix: str = "", *, with_hash: bool = False, hidden: bool = False
    ) -> Iterator[StoredObject]:
        """List objects, without those in the trash or being staged.

        Parameters
        ----------
        prefix
            Folder to begin at, relative to the store: ``""``, ``"simonyi"``,
            ``"simonyi/2026-01-01"`` and so on.
        with_hash
            Whether to read every object for its SHA-256.
        hidden
            Whether to list names that begin with a dot, too, which nobody but the
            store itself has a use for.

        Raises
        ------
        UnsafeNameError
            If the prefix leads elsewhere.
        """
        start = self.base
        for part in prefix.strip("/").split("/") if prefix.strip("/") else ():
            start = start.join(check_name(part, "folder"), forceDirectory=True)
        for url in self._walk(start):
            parts = (url.relative_to(self.base) or "").split("/")
            own = parts[0] == TRASH or parts[-1].startswith(STAGED_PREFIX)
            if not own and (hidden or not any(p.startswith(".") for p in parts)):
                yield self.info(url) if with_hash else self._sized(url)

    def list_trash(self) -> Iterator[StoredObject]:
        """List objects in the trash, without their hashes."""
        for url in self._walk(self.base.join(TRASH, forceDirectory=True)):
            if not url.basename().startswith(STAGED_PREFIX):
                yield self._sized(url)

    def list_staged(self) -> Iterator[StoredObject]:
        """List what interrupted writers left behind, and what is being written."""
        for url in self._walk(self.base):
            if url.basename().startswith(STAGED_PREFIX):
                yield self._sized(url)

    def _sized(self, url: ResourcePath) -> StoredObject:
        with store_errors(url):
            info = url.get_info()
        return StoredObject(
            url=url, size=int(info.size), sha256=None, stored=info.last_modified
        )

    def _walk(self, start: ResourcePath) -> Iterator[ResourcePath]:
        with store_errors(start):
            if start.scheme == "file" and not start.exists():
                return
            for folder, _, names in start.walk():
                for name in sorted(names):
                    yield folder.join(name, forceDirectory=False)

    def delete(self, url: ResourcePath | str) -> None:
        """Delete an object for good.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        OutsideStoreError
            If it is not within this store.
        """
        target = self._object(url)
        with store_errors(target):
            if not target.exists():
                raise ObjectNotFoundError(target, "no such object")
            target.remove()

    def trash(self, url: ResourcePath | str) -> ResourcePath:
        """Move an object to the trash, and return its place there.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        OutsideStoreError
            If it is not within this store, or in the trash already.
        """
        source = self._object(url)
        relative = source.relative_to(self.base) or ""
        if relative.startswith(f"{TRASH}/"):
            raise OutsideStoreError(source, self.base)
        target = self.base.join(TRASH, forceDirectory=True).join(relative)
        sha256, _ = hash_object(source)
        # an earlier content of the same name may be in the trash already
        name = f"{sha256.hex()[:16]}.{source.basename()}"
        target = target.updatedFile(name)
        self._move(source, target, sha256)
        return target

    def restore(self, url: ResourcePath | str) -> ResourcePath:
        """Move an object back from the trash, and return its place.

        Parameters
        ----------
        url
            Its place in the trash, or where it was before.

        Raises
        ------
        ObjectNotFoundError
            If it is not in the trash.
        ObjectExistsError
            If another object is in its place.
        StoreError
            If several objects of that place are in the trash.
        """
        given = self._object(url)
        relative = given.relative_to(self.base) or ""
        if not relative.startswith(f"{TRASH}/"):
            given = self._trashed(given, relative)
            relative = given.relative_to(self.base) or ""
        name = given.basename().partition(".")[2]
        target = self.base.join(relative.removeprefix(f"{TRASH}/")).updatedFile(name)
        sha256, _ = hash_object(given)
        self._move(given, target, sha256)
        return target

    def _trashed(self, original: ResourcePath, relative: str) -> ResourcePath:
        """Find the one object in the trash that came from a place."""
        folder = self.base.join(TRASH, forceDirectory=True).join(relative).dirname()
        found = [
            url
            for url in self._walk(folder)
            if url.basename().partition(".")[2] == original.basename()
        ]
        if not found:
            raise ObjectNotFoundError(original, "is not in the trash")
        if len(found) > 1:
            places = ", ".join(str(url) for url in found)
            raise StoreError(original, f"was trashed more than once: {places}")
        return found[0]

    def _move(self, source: ResourcePath, target: ResourcePath, sha256: bytes) -> None:
        with store_errors(target):
            if target.scheme == "file":
                Path(target.ospath).parent.mkdir(parents=True, exist_ok=True)
            try:
                publish(source, target, replace=False)
            except ObjectExistsError:
                _compare_or_refuse(target, sha256)
            _compare(target, sha256)
            remove_quietly(source)

    def _object(self, url: ResourcePath | str) -> ResourcePath:
        """Return an object of this store, or refuse it."""
        try:
            found = ResourcePath(url, forceDirectory=False)
        except ValueError as error:  # a folder
            raise OutsideStoreError(url, self.base) from error
        relative = found.relative_to(self.base)
        parts = (relative or "").split("/")
        if not relative or found.fragment or any(p in {"", ".", ".."} for p in parts):
            raise OutsideStoreError(found, self.base)
        return found


def _compare_or_refuse(url: ResourcePath, expected: bytes) -> None:
    found, _ = hash_object(url)
    if found != expected:
        raise ObjectExistsError(url, "exists")


def _compare(url: ResourcePath, expected: bytes) -> None:
    """Read an object back; a reading that broke off, or was cut, is done again."""
    for is_last in (False, False, True):
        try:
            found, _ = hash_object(url)
        except ObjectNotFoundError:
            raise
        except StoreError:
            if is_last:
                raise
            continue
        if found == expected:
            return
        if is_last or url.isLocal:
            raise HashMismatchError(url, expected, found)
