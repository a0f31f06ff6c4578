"""The web UI answers to its own names only.

Dagster's web server has no accounts: who can send it a request can launch runs. It
listens on the loopback by default, but a page of any site can reach that too, once its
own name is made to resolve to 127.0.0.1 (DNS rebinding), or by a form that needs no
permission. Both say where they come from: the first in ``Host``, the other in
``Origin``. ``dagster-webserver`` has no option for it, and ``dagster dev`` starts it by
itself: `event_log` calls `guard_web_server` in the process of each web server.
``test_web_hosts.py`` asks a real one.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from dagster_webserver.webserver import DagsterWebserver

from pipeline_runtime.environment import text_of

__all__ = ["OwnNamesOnly", "guard_web_server"]

_Scope = MutableMapping[str, Any]  # Any: as ASGI has them
_Receive = Callable[[], Awaitable[_Scope]]
_Send = Callable[[_Scope], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_PREFIXES = {b"host": "//", b"origin": ""}  # which make a URL of the header
_MISDIRECTED = 421
_POLICY_VIOLATION = 1008


def guard_web_server() -> None:
    """Let the web servers that this process makes answer to their own names only."""
    if getattr(DagsterWebserver.create_asgi_app, "names_are_checked", False):
        return
    create = DagsterWebserver.create_asgi_app

    def create_asgi_app(self: DagsterWebserver[Any, Any], **options: Any) -> Any:
        return OwnNamesOnly(create(self, **options))

    create_asgi_app.names_are_checked = True  # type: ignore[attr-defined] # of a function
    DagsterWebserver.create_asgi_app = create_asgi_app  # type: ignore[assignment,method-assign] # there is no option


class OwnNamesOnly:
    """Refuse requests that were meant for another name, or come from another's page.

    Names of our own are those of the loopback, the address that a connection came to,
    the host of ``DAGSTER_URL``, and what ``DAGSTER_HOSTS`` adds.
    """

    def __init__(self, app: _App) -> None:
        self._app = app
        self._names = {
            _host_of(text_of("DAGSTER_URL")),
            *(_host_of(f"//{name}") for name in text_of("DAGSTER_HOSTS").split()),
        }

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or refuse it."""
        refused = self._refused(scope) if scope["type"] != "lifespan" else ""
        if not refused:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            kind = (b"content-type", b"text/plain; charset=utf-8")
            await send(
                {
                    "type": "http.response.start",
                    "status": _MISDIRECTED,
                    "headers": [kind],
                }
            )
            await send({"type": "http.response.body", "body": refused.encode()})

    def _refused(self, scope: _Scope) -> str:
        """Return why a request is refused, or nothing."""
        own = self._names | {str((scope.get("server") or [""])[0])}
        for name, value in scope["headers"]:
            prefix = _PREFIXES.get(name.lower())
            text = value.decode("latin-1")
            if prefix is not None and not _is_own(_host_of(prefix + text), own):
                return (
                    f"{name.decode().title()} {text!a} is not a name of this server: "
                    "if it should be, add it to the variable DAGSTER_HOSTS\n"
                )
        return ""


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_own(host: str, own: set[str]) -> bool:
    if not host:
        return False
    if host in own or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
