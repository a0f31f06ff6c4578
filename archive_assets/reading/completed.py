"""The visits that were made on a night: from a file, or from ConsDB.

ConsDB is read through ``rubin-nights`` (the extra ``consdb``).
"""

import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd

from archive_assets.errors import ArchiveError
from pipeline_runtime.extras import how_to_install
from pipeline_runtime.urls import safe_url
from visit_tables.frame_files import read_visits_file

if TYPE_CHECKING:
    from rubin_nights.consdb_query import ConsDbFastAPI

__all__ = ["ConsdbError", "completed_visits", "consdb_visits", "is_consdb"]

_INSTRUMENTS = {"simonyi": "lsstcam", "auxtel": "latiss"}
_TIMEOUT_S = 120.0
_QUERY = (
    "SELECT visit_id, obs_start_mjd, s_ra, s_dec, band, airmass "
    "FROM cdb_{instrument}.visit1 WHERE day_obs = {day_obs:%Y%m%d} "
    "AND img_type = 'science' ORDER BY obs_start_mjd"
)


class ConsdbError(ArchiveError):
    """ConsDB cannot be read."""


def is_consdb(source: str | Path) -> bool:
    """Tell whether completed visits are to come from ConsDB, and not from a file."""
    return urlsplit(str(source)).scheme in {"http", "https"}


def completed_visits(source: str | Path, day_obs: date, telescope: str) -> pd.DataFrame:
    """Return completed visits, those of a night at least.

    Parameters
    ----------
    source
        Opsim file or ``visits.h5``; or the URL of ConsDB's services.
    day_obs, telescope
        Which visits ConsDB is asked for; a file's are returned as they are.

    Raises
    ------
    VisitsFileError
        If the file cannot be read.
    ConsdbError
        If ConsDB cannot.
    """
    if is_consdb(source):
        return consdb_visits(str(source), day_obs, telescope)
    return read_visits_file(source)


def consdb_visits(url: str, day_obs: date, telescope: str) -> pd.DataFrame:
    """Return the science visits of a night from ConsDB, with its names.

    The token is that of ``ACCESS_TOKEN``, ``ACCESS_TOKEN_FILE`` or
    ``~/.lsst/usdf_rsp``, as rubin-nights takes it.

    Raises
    ------
    ConsdbError
        If rubin-nights is not installed, ConsDB cannot be reached or refuses.
    """
    query = _QUERY.format(instrument=_INSTRUMENTS[telescope], day_obs=day_obs)
    client = _client(url)
    try:
        with warnings.catch_warnings():
            # rubin-nights 0.18.2 calls pandas 3.1 as pandas 4 will not let it
            warnings.simplefilter("ignore", DeprecationWarning)
            found: pd.DataFrame = client.query(query)
    except UnboundLocalError as error:
        # what rubin-nights 0.18.2 raises after it has logged the reason
        raise ConsdbError(
            f"ConsDB at {safe_url(url)} does not answer: is the URL right, and can it "
            "be reached from here?"
        ) from error
    if not len(found.columns):  # of no visits there are columns
        raise ConsdbError(
            f"ConsDB at {safe_url(url)} refused the query; the reason is logged: check "
            "ACCESS_TOKEN or ACCESS_TOKEN_FILE"
        )
    return found.dropna(subset=["obs_start_mjd", "s_ra", "s_dec"])


def _client(url: str) -> "ConsDbFastAPI":
    try:
        from rubin_nights.connections import get_access_token  # noqa: PLC0415 - an extra
        from rubin_nights.consdb_query import ConsDbFastAPI  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ConsdbError(
            f"ConsDB needs {error.name}: {how_to_install('consdb')}"
        ) from error
    token: Any = get_access_token()
    return ConsDbFastAPI(url.rstrip("/"), ("user", token), query_timeout=_TIMEOUT_S)
