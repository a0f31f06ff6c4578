"""Messages to the person on duty, and the channels that take them.

A channel is a URL of Apprise (``slack://``, ``mailto://``, ``json://`` for a webhook,
and others). It holds passwords or keys, so no message and no error shows it.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline_runtime.environment import text_of
from pipeline_runtime.errors import EnvironmentValueError

if TYPE_CHECKING:
    import apprise

__all__ = ["Alarm", "Channel", "alarm_channels", "one_line"]

_SEPARATORS = re.compile(r"[\s,]+(?=[a-z0-9]+://)|\s+")
_LONGEST_LINE = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """One message about one cause.

    Attributes
    ----------
    cause
        Key of what is wrong: a cause that has its message gets no second one.
    title, lines
        What the message says.
    """

    cause: str
    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that the message says."""
        return "\n".join((self.title, *self.lines))


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """Where messages are sent.

    Attributes
    ----------
    name
        Kind of service, and where it stands in ``ALARM_URLS``; holds no secret.
    key
        Digest of the URL, to remember what the channel has taken.
    """

    name: str
    key: str
    service: "apprise.NotifyBase"

    def send(self, alarm: Alarm) -> bool:
        """Send a message and tell whether the service took it; never raise."""
        try:
            return bool(
                self.service.notify(title=alarm.title, body="\n".join(alarm.lines))
            )
        except Exception as error:  # noqa: BLE001 - of any plugin; may hold the URL
            logging.getLogger(__name__).warning(
                "%s failed: %s", self.name, type(error).__name__
            )
            return False


def alarm_channels(environ: Mapping[str, str] | None = None) -> tuple[Channel, ...]:
    """Return the channels of ``$ALARM_URLS``, none if it is not set.

    Raises
    ------
    EnvironmentValueError
        If a URL is not one that Apprise can use.
    """
    urls = [url for url in _SEPARATORS.split(text_of("ALARM_URLS", environ)) if url]
    return tuple(_channel(place, url) for place, url in enumerate(urls, start=1))


def _channel(place: int, url: str) -> Channel:
    import apprise  # noqa: PLC0415 - half a second of processor time

    service = apprise.Apprise.instantiate(url)
    if not isinstance(service, apprise.NotifyBase):
        scheme = url.partition("://")[0] if "://" in url else "none"
        raise EnvironmentValueError(
            f"URL {place} of ALARM_URLS (scheme {scheme}) is not one that Apprise can "
            "use: see https://github.com/caronc/apprise/wiki, correct it, and try it "
            "with `prenight alarm --test`"
        )
    return Channel(
        name=f"channel {place} ({service.service_name})",
        key=hashlib.sha256(url.encode()).hexdigest()[:12],
        service=service,
    )


def one_line(text: str) -> str:
    """Return a text as one line that fits into a message."""
    words = " ".join(text.split())
    if len(words) <= _LONGEST_LINE:
        return words
    return words[: _LONGEST_LINE - 1] + "…"
