"""Where a night's page is published: beside the pre-night indexes."""

from pipeline_runtime.environment import text_of

__all__ = ["page_url"]


def page_url(name: str, base: str = "", kind: str = "html") -> str:
    """Return where the page of a night is.

    Parameters
    ----------
    name
        The night, ``YYYY-MM-DD``, or ``latest``.
    base
        Folder of all indexes; else ``PRENIGHT_INDEX_URL``.
    kind
        ``html``, or ``json`` for the same as data.
    """
    base = base or text_of("PRENIGHT_INDEX_URL")
    return f"{base.rstrip('/')}/nights/{name}.{kind}"
