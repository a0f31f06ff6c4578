"""Move whole objects in and out of a store: hashed, staged, published at once.

All access is through ``lsst.resources``; only publishing differs between schemes.
Memory stays bounded, whatever the size: objects pass in pieces, and big ones go to
S3 in parts. ``lsst.resources`` tries a server of S3 that is away ten times, for half a
minute if it refuses and for half an hour if it is silent: one small question with a
time-out tells first.
"""

import base64
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError
from lsst.resources import ResourcePath
from typing_extensions import override

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.objects.deadlines import set_deadline, set_http_deadline
from pipeline_runtime.documents import open_regular, read_stream
from pipeline_runtime.environment import seconds_of
from pipeline_runtime.urls import safe_url

__all__ = [
    "EndpointAwayError",
    "HashMismatchError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "StoreError",
    "check_endpoint",
    "hash_local",
    "hash_object",
    "publish",
    "put_new_s3",
    "read_object",
    "remove_quietly",
    "s3_bucket",
    "stage",
    "store_errors",
]


_GOOD_FOR_S = 60.0
_PAUSE_S = 1.0
_answered: dict[str, float] = {}
_lock = threading.Lock()


class EndpointAwayError(OSError):
    """An S3 server does not answer."""


def check_endpoint(url: object) -> None:
    """Refuse a place in S3 whose server does not answer; once a minute at most.

    Any answer will do, a refusal too. ``VSARCHIVE_STORE_TIMEOUT_S`` bounds the wait,
    ``VSARCHIVE_STORE_DEADLINE_S`` every later request with its repetitions, those over
    HTTP, too. The client of Google bounds its own: a minute each, two in all.

    Raises
    ------
    EndpointAwayError
        If there is no answer.
    """
    if not isinstance(url, ResourcePath):
        return
    if url.scheme in {"http", "https"}:
        set_http_deadline()
    if url.scheme != "s3":
        return
    s3: Any = url  # Any: only URLs of S3 have a client
    endpoint = str(s3.client.meta.endpoint_url)
    with _lock:
        set_deadline(s3.client)
        if time.monotonic() - _answered.get(endpoint, -_GOOD_FOR_S) < _GOOD_FOR_S:
            return
        _ask(endpoint, seconds_of("VSARCHIVE_STORE_TIMEOUT_S"))
        _answered[endpoint] = time.monotonic()


def _ask(endpoint: str, timeout_s: float) -> None:
    # archives on a file system need none of these, and start sooner
    import ssl  # noqa: PLC0415
    from urllib.error import HTTPError, URLError  # noqa: PLC0415
    from urllib.request import Request, urlopen  # noqa: PLC0415

    question = Request(endpoint, method="HEAD")  # noqa: S310 - boto3 made this URL
    end = time.monotonic() + timeout_s
    while True:
        left_s = max(end - time.monotonic(), 0.1)
        try:
            with urlopen(question, timeout=left_s):  # noqa: S310 - as above
                return
        except HTTPError as error:
            error.close()
            return
        except OSError as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, ssl.SSLError):
                return  # boto3 may know its certificate
            if time.monotonic() + _PAUSE_S >= end:
                message = f"no answer from {endpoint} in {timeout_s:g} s: {reason}"
                raise EndpointAwayError(message) from error
        time.sleep(_PAUSE_S)


PIECE_BYTES = 8 * 1024 * 1024
SINGLE_PUT_BYTES = 64 * 1024 * 1024
"""Bigger files go to S3 in parts, into a staged object."""

_CONFLICTS = {"412", "409", "PreconditionFailed", "ConditionalRequestConflict"}
_ABSENT = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}


class StoreError(ArchiveError, OSError):
    """The data store failed or cannot be reached."""

    def __init__(self, url: object, reason: str) -> None:
        # rows of others may hold a URL with credentials, which was never refused
        self.url = safe_url(str(url)) if "://" in str(url) else str(url)
        super().__init__(f"{self.url}: {reason}")
        self.reason = reason


class ObjectNotFoundError(StoreError, FileNotFoundError):
    """There is no such object."""


class ObjectExistsError(StoreError, FileExistsError):
    """Another content is in that place already."""

    @override
    def __str__(self) -> str:
        return f"{self.url} holds another content already; nothing was changed"


class HashMismatchError(StoreError):
    """What is stored is not what was meant to be."""

    def __init__(self, url: object, expected: bytes, found: bytes) -> None:
        super().__init__(url, f"SHA-256 is {found.hex()}, not {expected.hex()}")
        self.expected = expected
        self.found = found


@contextmanager
def store_errors(url: object) -> Iterator[None]:
    """Turn what file systems, HTTP and S3 clients raise into `StoreError`.

    A server of S3 that does not answer is found out before anything is asked of it.
    """
    try:
        check_endpoint(url)
        yield
    except EXPECTED_ERRORS:
        raise
    except FileNotFoundError as error:
        raise ObjectNotFoundError(url, "no such object") from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = ObjectNotFoundError if code in _ABSENT else StoreError
        raise kind(url, f"S3 answers {code or error}") from error
    except EndpointAwayError as error:
        raise StoreError(url, str(error)) from error
    except OSError as error:
        raise StoreError(url, error.strerror or _named(error)) from error
    # a value is wrong where the end point has no scheme, a module is absent for gs://
    except (
        BotoCoreError,
        ImportError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise StoreError(url, _named(error)) from error


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def hash_stream(stream: BinaryIO, copy_to: BinaryIO | None = None) -> tuple[bytes, int]:
    """Return SHA-256 and size of what is left of a stream; copy it on the way."""
    digest = hashlib.sha256()
    size = 0
    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
        if copy_to is not None:
            copy_to.write(piece)
    return digest.digest(), size


def hash_local(path: str | Path) -> tuple[bytes, int]:
    """Return SHA-256 and size of a local file."""
    with store_errors(path), open_regular(path) as stream:
        return hash_stream(stream)


def hash_object(
    url: ResourcePath, copy_to: BinaryIO | None = None
) -> tuple[bytes, int]:
    """Return SHA-256 and size of an object, read back from the store.

    Raises
    ------
    ObjectNotFoundError
        If there is none.
    StoreError
        If the store fails.
    """
    with _opened(url) as stream:
        return hash_stream(stream, copy_to)


def read_object(url: ResourcePath) -> bytes:
    """Return a small object: an index, or metadata in YAML.

    Raises
    ------
    ObjectNotFoundError
        If there is none.
    DocumentError
        If it is larger than such a document is.
    StoreError
        If the store fails.
    """
    with _opened(url) as stream:
        return read_stream(stream, url)


@contextmanager
def _opened(url: ResourcePath) -> Iterator[BinaryIO]:
    """Open an object for reading; what is on this machine must be a regular file."""
    with store_errors(url):
        if url.isLocal:
            with open_regular(url.ospath) as stream:
                yield stream
            return
        with url.open("rb") as handle:
            yield cast("BinaryIO", handle)


def stage(source: str | Path, staged: ResourcePath) -> None:
    """Write a local file to a place where nothing is yet.

    Raises
    ------
    StoreError
        If the file cannot be read, or the store fails.
    """
    with store_errors(staged):
        if staged.scheme != "file":
            staged.transfer_from(ResourcePath(Path(source)), "copy")
            return
        path = Path(staged.ospath)
        path.parent.mkdir(parents=True, exist_ok=True)
        # not shutil.copy: the mode of a private temporary file must not come along
        with open_regular(source) as original, path.open("xb") as copy:
            shutil.copyfileobj(original, copy, PIECE_BYTES)


def publish(staged: ResourcePath, target: ResourcePath, *, replace: bool) -> None:
    """Give a staged object its final name, at once.

    Parameters
    ----------
    staged
        An object whose content was proved; in the same folder as `target`. It may
        or may not be left over.
    target
        The final place.
    replace
        Whether an object may be there already. It is then there, whole, until the
        new one takes its place.

    Raises
    ------
    ObjectExistsError
        If there is an object and it may not be replaced.
    """
    with store_errors(target):
        match target.scheme:
            case "file":
                _publish_file(Path(staged.ospath), Path(target.ospath), replace=replace)
            case "s3":
                _publish_s3(staged, target, replace=replace)
            case _:
                try:
                    target.transfer_from(staged, "copy", overwrite=replace)
                except FileExistsError as error:
                    raise ObjectExistsError(target, "exists") from error


def put_new_s3(source: str | Path, target: ResourcePath) -> None:
    """Store a file of at most `SINGLE_PUT_BYTES` in S3 where nothing is yet.

    One request, which the server checks and carries out wholly or not at all.

    Raises
    ------
    ObjectExistsError
        If there is an object.
    """
    s3: Any = target  # Any: only URLs of S3 have a client
    with store_errors(target), open_regular(source) as stream:
        md5 = hashlib.file_digest(stream, _md5).digest()
        stream.seek(0)
        try:
            s3.client.put_object(
                Bucket=s3_bucket(target),
                Key=target.relativeToPathRoot,
                Body=stream,
                ContentMD5=base64.b64encode(md5).decode(),
                IfNoneMatch="*",
            )
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in _CONFLICTS:
                raise ObjectExistsError(target, "exists") from error
            raise


def _md5() -> Any:  # Any: hashlib does not name its type
    return hashlib.md5(usedforsecurity=False)


def _publish_file(staged: Path, target: Path, *, replace: bool) -> None:
    with staged.open("rb") as stream:
        os.fsync(stream.fileno())
    if replace:
        staged.replace(target)
    else:
        try:
            # unlike a rename, a link does not take the place of what is there
            target.hardlink_to(staged)
        except FileExistsError as error:
            raise ObjectExistsError(target, "exists") from error
    # the name itself must reach the disk, too
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish_s3(staged: ResourcePath, target: ResourcePath, *, replace: bool) -> None:
    # a conditional copy would be better, but Swift applies the condition to the source
    if not replace and target.exists():
        raise ObjectExistsError(target, "exists")
    target.transfer_from(staged, "copy", overwrite=True)


def s3_bucket(url: ResourcePath) -> str:
    """Return the bucket of an S3 URL, which Ceph may qualify as ``tenant:bucket``."""
    return str(url.netloc).rpartition("@")[2]


def remove_quietly(url: ResourcePath) -> None:
    """Remove an object if it is there."""
    with suppress(FileNotFoundError):
        url.remove()
