"""Whether a request can be simulated, asked before any work is done."""

from datetime import date
from pathlib import Path

from archive_assets.simulation.base import SimulationRequest
from archive_assets.simulation.errors import ParentVisitsError, SimulationRangeError
from archive_assets.simulation.site_data.check import check_site_data
from visit_tables.columns import UnsupportedColumnError, VisitsFileError
from visit_tables.day_obs import mjd_of_date, night_column, night_mjds
from visit_tables.files import iterate_visits

__all__ = ["check_request"]

_MOST_NIGHTS = 400


def check_request(request: SimulationRequest, *, with_site_data: bool = True) -> None:
    """Check nights, parent and, unless the driver brings its own, site data.

    Raises
    ------
    SimulationRangeError
        If there are no nights, too many, or they lie before the survey's start.
    ParentVisitsError
        If the parent belongs to another telescope, is not there, or continues into the
        simulated nights.
    SiteDataError
        If the site data do not cover the nights.
    """
    if not 1 <= request.n_nights <= _MOST_NIGHTS:
        raise SimulationRangeError(
            f"the number of nights must be 1 to {_MOST_NIGHTS}, not {request.n_nights}"
        )
    if request.first_day_obs < request.survey_start_day_obs:
        raise SimulationRangeError(
            f"the night {request.first_day_obs} lies before the start of the survey, "
            f"{request.survey_start_day_obs}"
        )
    _check_parent(request)
    if with_site_data:
        check_site_data(
            request.site_data,
            request.first_day_obs,
            request.n_nights,
            models=request.variant.observatory.site_models,
        )


def _check_parent(request: SimulationRequest) -> None:
    parent = request.parent
    if parent is None:
        return
    if parent.telescope is not request.telescope:
        raise ParentVisitsError(
            f"the completed visits {parent.path} are of {parent.telescope}, "
            f"the simulation is of {request.telescope}"
        )
    if parent.last_day_obs >= request.first_day_obs:
        raise ParentVisitsError(
            f"the completed visits go through {parent.last_day_obs}: they must end "
            f"before the first simulated night, {request.first_day_obs}"
        )
    if not parent.path.is_file():
        raise ParentVisitsError(f"there are no completed visits at {parent.path}")
    _check_times(parent.path, request.first_day_obs)


def _check_times(path: Path, first_day_obs: date) -> None:
    try:
        head = next(iter(iterate_visits(path)), {})
        time_column = [night_column(head)] if head else []
        n_late = sum(
            int((night_mjds(batch) >= mjd_of_date(first_day_obs)).sum())
            for batch in iterate_visits(path, columns=time_column)
            if batch
        )
    except (VisitsFileError, UnsupportedColumnError) as error:
        raise ParentVisitsError(f"{path} cannot be used: {error}") from error
    if n_late:
        raise ParentVisitsError(
            f"{path} has {n_late} visits of {first_day_obs} or later: completed visits "
            "must end before the simulated nights"
        )
