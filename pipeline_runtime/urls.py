"""URLs of databases and stores: shown without credentials, refused with them.

A URL goes into rows, logs, indexes, events and pages. So it names a place and no
secret: keys belong in a profile, passwords in ``~/.pgpass``.
"""

import re

from pipeline_runtime.errors import PipelineRuntimeError

__all__ = [
    "CredentialsError",
    "check_connection_word",
    "check_url",
    "check_words",
    "safe_url",
    "without_credentials",
]

# every repetition is bounded: a text of a million letters is searched in linear time
_SECRET_KEY = re.compile(
    r"(?i)[?&#;](?:[\w.-]{0,64}(?:token|signature|secret|passw|credential)[\w.-]{0,64}"
    r"|sig|pwd|auth(?!or)\w{0,64}|[\w-]{0,64}(?:access|api)[_-]?key\w{0,64}|key)="
)
_TOKEN_IN_PATH = re.compile(r"/t/[\w-]{16,}(?=/|$)")  # of a conda channel
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>\\]+")
_SECRET_IN_JSON = re.compile(
    r'(?i)"[\w.-]{0,64}(?:token|secret|passw|credential|api[_-]?key)'
    r'[\w.-]{0,64}": {0,9}"[^"]'
)
_USERS_ALONE = frozenset({"s3", "ssh", "git+ssh"})
"""Schemes in which a user's name alone is not a credential."""
_REMEDY = (
    "leave them out: keys of S3 belong in ~/.aws/credentials or in "
    "LSST_RESOURCES_S3_PROFILE_<name>, named as s3://<name>@bucket/, passwords of "
    "PostgreSQL in ~/.pgpass, those of Git in a credential helper"
)


class CredentialsError(PipelineRuntimeError, ValueError):
    """A place is given with credentials, which would be written down with it."""

    def __init__(self, what: str, shown: str) -> None:
        super().__init__(f"{what} {shown} holds credentials: {_REMEDY}")


def safe_url(url: str) -> str:
    """Return a URL without user, password and query, fit for a message.

    Works on text that is not a valid URL too: what cannot be parsed is not shown.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.replace("+", "").replace("_", "").isalnum():
        return "(not a URL)"
    # a password may hold "@", "/" or "?" unquoted: only what follows the last "@" shows
    place = re.split("[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return f"{scheme}://{_TOKEN_IN_PATH.sub('/t/...', place)}"


def check_url(url: object, what: str) -> None:
    """Refuse a URL that holds a password, a key or a signature.

    The profile of S3, ``s3://profile@bucket/`` or ``s3://tenant:bucket/``, is none. A
    path is not a URL: nothing is looked for in it.

    Parameters
    ----------
    url
        The URL, or a path.
    what
        What it is of, for the message.

    Raises
    ------
    CredentialsError
        If it does. The message has the place and the remedy only.
    """
    text = str(url)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() == "file":
        return
    authority, slash, tail = re.split("([/?#]|$)", rest, maxsplit=1)
    user, at, _ = authority.rpartition("@")
    if at:
        holds = ":" in user or scheme.lower() not in _USERS_ALONE
    else:  # a "/" or "?" within a password ends the authority too soon
        _, colon, port = authority.partition(":")
        holds = bool(colon) and not port.isdecimal() and "@" in tail
    tail = slash + tail
    if holds or _SECRET_KEY.search(tail) or _TOKEN_IN_PATH.search(tail):
        raise CredentialsError(what, safe_url(text))


def check_words(text: str, what: str) -> None:
    """Refuse a text with a URL in it that `check_url` refuses, or a secret of JSON.

    Raises
    ------
    CredentialsError
        If it has one.
    """
    for url in _URL_IN_TEXT.findall(text):
        check_url(url, f"{what}:")
    if found := _SECRET_IN_JSON.search(text):
        raise CredentialsError(f"{what}:", found[0].rpartition(":")[0])


def without_credentials(text: str) -> str:
    """Return a text whose URLs show no credentials, for what others have written."""

    def shown(found: re.Match[str]) -> str:
        try:
            check_url(found[0], "")
        except CredentialsError:
            return safe_url(found[0])
        return found[0]

    return _URL_IN_TEXT.sub(shown, text)


def check_connection_word(value: object, what: str) -> None:
    """Refuse a host or database's name that libpq would take for a whole connection.

    Parameters
    ----------
    value
        The name; the folder of a socket begins with a slash.
    what
        What it is, for the message.

    Raises
    ------
    CredentialsError
        If it is a URL or has ``name=value`` or ``user@host`` in it.
    """
    text = str(value)
    if not text.startswith("/") and re.search("://|[=@]", text):
        raise CredentialsError(what, "(not shown)")
