"""Give every request to S3 or HTTP a deadline, its repetitions included.

The client of ``lsst.resources`` waits three minutes for each of ten tries, and its
callers try again: a server that falls silent would be waited for without end.
"""

import os
import time
from typing import Any
from weakref import WeakKeyDictionary

from botocore.httpsession import URLLib3Session
from botocore.session import get_session
from botocore.utils import get_environ_proxies

from pipeline_runtime.environment import seconds_of

__all__ = ["DeadlineError", "set_deadline", "set_http_deadline"]

_CONNECTIONS = 10
_HTTP_TRIES = 4
_STARTED = "vseqarchive_began"
_deadlines: WeakKeyDictionary[object, str] = WeakKeyDictionary()


class DeadlineError(OSError):
    """A request to S3 was not answered in time."""


def set_deadline(client: Any) -> None:  # Any: boto3 makes its classes at run time
    """Let every request of a client end; nothing happens if it has a deadline."""
    deadline_s = max(seconds_of("VSARCHIVE_STORE_DEADLINE_S"), 0.1)
    name = f"deadline-{deadline_s:g}"
    if _deadlines.get(client) == name:
        return
    requests = _Requests(str(client.meta.endpoint_url), deadline_s)
    for event, handler in (
        ("before-call.s3", requests.begin),
        ("before-send.s3", requests.send),
        ("needs-retry.s3", requests.end),
    ):
        if client in _deadlines:
            client.meta.events.unregister(event, unique_id=_deadlines[client] + event)
        client.meta.events.register_first(event, handler, unique_id=name + event)
    _deadlines[client] = name


def set_http_deadline() -> None:
    """Let requests over HTTP end; what ``LSST_HTTP_TIMEOUT_…`` say already holds.

    `lsst.resources` would wait 25 minutes for each of its four tries.
    """
    each_s = max(seconds_of("VSARCHIVE_STORE_DEADLINE_S"), 0.1) / _HTTP_TRIES
    for name in ("LSST_HTTP_TIMEOUT_CONNECT", "LSST_HTTP_TIMEOUT_READ"):
        if not os.environ.get(name):
            os.environ[name] = f"{each_s:g}"


class _Requests:
    """Sends the requests of an S3 client, and repeats none beyond its deadline."""

    def __init__(self, endpoint: str, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        # half of it: an answer that was lost on the way is asked for once more
        self._session = URLLib3Session(
            verify=get_session().get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(endpoint),
            timeout=(deadline_s / 2, deadline_s / 2),
            max_pool_connections=_CONNECTIONS,
        )

    def begin(self, *, context: dict[str, Any], **_: object) -> None:
        context[_STARTED] = time.monotonic()

    def send(self, *, request: object, **_: object) -> object:
        return self._session.send(request)

    def end(
        self,
        *,
        request_dict: dict[str, Any],
        caught_exception: Exception | None,
        **_: object,
    ) -> None:
        began = request_dict["context"].get(_STARTED)
        if caught_exception is None or began is None:
            return
        if time.monotonic() - began >= self._deadline_s:
            raise DeadlineError(
                f"no answer within {self._deadline_s:g} s: {caught_exception}"
            ) from caught_exception
