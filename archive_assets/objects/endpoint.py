"""Ask an S3 server whether it answers at all, before it is given work.

``lsst.resources`` tries a server that is away ten times, for half a minute if it
refuses and for half an hour if it is silent. One small question with a time-out
tells first.
"""

import threading
import time
from typing import Any

from lsst.resources import ResourcePath

from pipeline_runtime.environment import seconds_of

__all__ = ["EndpointAwayError", "check_endpoint"]

_GOOD_FOR_S = 60.0
_PAUSE_S = 1.0
_answered: dict[str, float] = {}
_lock = threading.Lock()


class EndpointAwayError(OSError):
    """An S3 server does not answer."""


def check_endpoint(url: object) -> None:
    """Refuse a place in S3 whose server does not answer; once a minute at most.

    Any answer will do, a refusal too. ``VSARCHIVE_STORE_TIMEOUT_S`` bounds the wait.

    Raises
    ------
    EndpointAwayError
        If there is no answer.
    """
    if not isinstance(url, ResourcePath) or url.scheme != "s3":
        return
    s3: Any = url  # Any: only URLs of S3 have a client
    endpoint = str(s3.client.meta.endpoint_url)
    with _lock:
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
