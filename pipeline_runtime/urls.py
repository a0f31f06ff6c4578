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

# names are found first and judged then: linear in the length of a text
_QUERY_KEY = re.compile(r"[?&#;]([\w.-]*)=")
_SECRET_WORD = re.compile(r"(?i)token|signature|secret|passw|credential")
_SECRET_NAME = re.compile(r"(?i)sig|pwd|auth(?!or)\w*|key")
_API_KEY = re.compile(r"(?i)(?:access|api)[_-]?key")
_TOKEN_IN_PATH = re.compile(r"/t/[\w-]{16,}(?=/|$)")  # of a conda channel
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>\\]+")
_TEXT_IN_JSON = re.compile(r'"([\w.-]*)": *(?="[^"])')
_SECRET_OF_JSON = re.compile(r"(?i)token|secret|passw|credential|api[_-]?key")
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
    if holds or _has_secret_key(tail) or _TOKEN_IN_PATH.search(tail):
        raise CredentialsError(what, safe_url(text))


def _has_secret_key(query: str) -> bool:
    return any(_is_secret_key(key) for key in _QUERY_KEY.findall(query))


def _is_secret_key(key: str) -> bool:
    if _SECRET_WORD.search(key) or _SECRET_NAME.fullmatch(key):
        return True
    found = list(_API_KEY.finditer(key))
    # an access or API key, and at most an ending to it
    return bool(found) and "." not in key and "-" not in key[found[-1].end() :]


def check_words(text: str, what: str) -> None:
    """Refuse a text with a URL in it that `check_url` refuses, or a secret of JSON.

    Raises
    ------
    CredentialsError
        If it has one.
    """
    for url in _URL_IN_TEXT.findall(text):
        check_url(url, f"{what}:")
    for name in _TEXT_IN_JSON.findall(text):
        if _SECRET_OF_JSON.search(name):
            raise CredentialsError(f"{what}:", f'"{name}"')


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
