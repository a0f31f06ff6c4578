"""The nightly status: one record a night, to the log and to an HTTP end point.

The record has the fields of the observatory's Sasquatch topic ``lsst.survey``
(measurement ``lsst.survey.pre_night``), in the envelope of a Kafka REST proxy.
"""

import logging
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import requests

from visit_tables.time_scales import in_utc

__all__ = ["NightStatus", "publish_status", "status_payload"]

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0
_CONTENT_TYPE = "application/vnd.kafka.json.v2+json"


@dataclass(frozen=True, kw_only=True, slots=True)
class NightStatus:
    """How the simulations of a night stand."""

    day_obs: date
    telescope: str
    success: bool
    n_visits: int
    """Visits of the nominal simulation over all its nights."""
    visitseq_uuid: str
    """UUID of the nominal simulation, empty if there is none."""
    visitseq_url: str
    detail: str = ""


def status_payload(status: NightStatus, now: datetime) -> dict[str, Any]:
    """Return the JSON body of a status.

    Parameters
    ----------
    status
        What to report.
    now
        Time of the report, aware.

    Raises
    ------
    NaiveTimeError
        If ``now`` has no time zone.
    """
    value = {
        "measurement": "lsst.survey.pre_night",
        "telescope": status.telescope,
        "dayobs": status.day_obs.isoformat(),
        "timestamp": int(in_utc(now, "time of a status").timestamp() * 1000),
        "success": status.success,
        "uuid": status.visitseq_uuid,
        "total_visit_count": status.n_visits,
        "download_url": status.visitseq_url,
        "detail": status.detail,
    }
    return {"records": [{"value": value}]}


def publish_status(status: NightStatus, now: datetime, url: str = "") -> bool:
    """Log a status and, if there is an end point, post it; never raise for that.

    Returns
    -------
    delivered
        False if the end point failed; a night does not fail with it.
    """
    _log.info("night status: %s", asdict(status))
    if not url:
        return True
    try:
        answer = requests.post(
            url,
            json=status_payload(status, now),
            headers={"Content-Type": _CONTENT_TYPE},
            timeout=_TIMEOUT_S,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        # the URL may hold a key: only the kind of failure is shown
        _log.warning("status end point failed: %s", type(error).__name__)
        return False
    return True
