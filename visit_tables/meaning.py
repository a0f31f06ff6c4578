"""What the columns of the archive's tables mean: type, unit and a few words."""

from typing import NamedTuple

__all__ = ["ARCHIVE_COLUMNS", "VISITS_COLUMNS", "ColumnMeaning"]


class ColumnMeaning(NamedTuple):
    """Type, unit (empty for none) and meaning of a column."""

    kind: str
    unit: str
    words: str


def _meanings(*rows: tuple[str, str, str, str]) -> dict[str, ColumnMeaning]:
    return {name: ColumnMeaning(kind, unit, words) for name, kind, unit, words in rows}


VISITS_COLUMNS = _meanings(
    ("observationId", "int", "", "Number of the visit in its sequence."),
    ("night", "int", "", "Night of the survey, counted from its start."),
    ("observationStartMJD", "float", "d", "Shutter opens, MJD."),
    ("flush_by_mjd", "float", "d", "The queue was to be refilled by then, MJD."),
    ("observationStartLST", "float", "deg", "Local sidereal time at the start."),
    ("numExposures", "int", "", "Exposures of the visit."),
    ("visitTime", "float", "s", "Exposure and readout."),
    ("visitExposureTime", "float", "s", "Exposure."),
    ("fieldRA", "float", "deg", "Right ascension of the field's centre, ICRS."),
    ("fieldDec", "float", "deg", "Declination of the field's centre, ICRS."),
    ("altitude", "float", "deg", "Altitude of the field's centre."),
    ("azimuth", "float", "deg", "Azimuth, from north through east."),
    ("band", "text", "", "Band, one of ugrizy."),
    ("filter", "text", "", "Physical filter."),
    ("airmass", "float", "", "Airmass of the field's centre."),
    ("skyBrightness", "float", "mag/arcsec2", "Brightness of the sky."),
    ("cloud", "float", "", "Part of the sky that is cloudy, 0 to 1."),
    ("cloud_extinction", "float", "mag", "Extinction by clouds."),
    ("seeingFwhm500", "float", "arcsec", "Seeing at 500 nm, at the zenith."),
    ("seeingFwhmGeom", "float", "arcsec", "Width of the image, geometric."),
    ("seeingFwhmEff", "float", "arcsec", "Width of the image, effective."),
    ("fiveSigmaDepth", "float", "mag", "Point source at five sigma."),
    ("slewTime", "float", "s", "From the end of the visit before."),
    ("slewDistance", "float", "deg", "From the field of the visit before."),
    ("paraAngle", "float", "deg", "Parallactic angle."),
    (
        "pseudoParaAngle",
        "float",
        "deg",
        "Parallactic angle, as the rotator has it.",
    ),
    ("rotTelPos", "float", "deg", "Camera against the telescope."),
    ("rotSkyPos", "float", "deg", "Camera against the sky, east of north."),
    ("moonRA", "float", "deg", "Right ascension of the Moon."),
    ("moonDec", "float", "deg", "Declination of the Moon."),
    ("moonAlt", "float", "deg", "Altitude of the Moon."),
    ("moonAz", "float", "deg", "Azimuth of the Moon."),
    ("moonDistance", "float", "deg", "From the field to the Moon."),
    ("moonPhase", "float", "%", "Part of the Moon that is lit."),
    ("sunAlt", "float", "deg", "Altitude of the Sun."),
    ("sunAz", "float", "deg", "Azimuth of the Sun."),
    ("sunRA", "float", "deg", "Right ascension of the Sun."),
    ("sunDec", "float", "deg", "Declination of the Sun."),
    ("solarElong", "float", "deg", "From the field to the Sun."),
    (
        "scheduler_note",
        "text",
        "",
        "Which survey of the scheduler chose the visit.",
    ),
    ("target_name", "text", "", "Name of the target."),
    ("target_id", "int", "", "Number of the target in the scheduler's queue."),
    ("science_program", "text", "", "Programme, such as BLOCK-407."),
    ("observation_reason", "text", "", "Why it was observed, for data management."),
)
"""Of the opsim visits table: meaning by name, in the order of people's interest."""

ARCHIVE_COLUMNS = _meanings(
    ("visitseq_uuid", "text", "", "UUID of the visit sequence."),
    ("visitseq_label", "text", "", "What the sequence is, for people."),
    ("visitseq_url", "text", "", "Where its visits.h5 is."),
    ("telescope", "text", "", "Telescope: simonyi or auxtel."),
    ("day_obs", "date", "", "Night: its date at UTC-12."),
    ("first_day_obs", "date", "", "First night of the sequence."),
    ("last_day_obs", "date", "", "Last night of the sequence."),
    ("sim_creation_day_obs", "date", "", "Night in which it was simulated."),
    ("daily_id", "int", "", "Which simulation of that night it is, from 1."),
    ("creation_time", "time", "", "When it was made, UTC."),
    ("scheduler_version", "text", "", "Version of rubin_scheduler."),
    ("config_url", "text", "", "Where the scheduler's configuration is."),
    ("sim_runner_kwargs", "json", "", "Arguments of the simulation."),
    ("conda_env_sha256", "bytes", "", "Hash of the list of packages."),
    ("parent_visitseq_uuid", "uuid", "", "Completed visits from which it started."),
    ("parent_last_day_obs", "date", "", "Last night of those visits."),
    ("tags", "json", "", "Words by which it is found, such as nominal."),
    ("comments", "json", "", "What people said of it, by time."),
    ("files", "json", "", "URLs of its other files, by kind."),
    ("stats", "json", "", "Statistics of its visits of the night, by quantity."),
    ("value_name", "text", "", "Quantity, a column of the visits, in its unit."),
    ("accumulated", "bool", "", "Of all nights so far, not of this one alone."),
    ("count", "int", "", "Visits that have a value."),
    ("mean", "float", "", "Mean, in the quantity's unit."),
    ("std", "float", "", "Standard deviation."),
    ("min", "float", "", "Least value."),
    ("p05", "float", "", "5th percentile."),
    ("q1", "float", "", "25th percentile."),
    ("median", "float", "", "Median."),
    ("q3", "float", "", "75th percentile."),
    ("p95", "float", "", "95th percentile."),
    ("max", "float", "", "Greatest value."),
    ("variant", "text", "", "Variant of the simulation; the first is nominal."),
    ("visits", "int", "", "Visits of the night."),
    ("more_visits", "int", "", "Visits more than the nominal variant has."),
    ("begins_later_min", "float", "min", "First visit, after the nominal one's."),
    ("ends_later_min", "float", "min", "Last visit, after the nominal one's."),
    ("airmass", "float", "", "Median airmass."),
    ("five_sigma_depth", "float", "mag", "Median depth of a point source."),
    ("same_fields", "float", "", "Part of the nominal visits that it has, too."),
    ("kind", "text", "", "What is wrong: missing, cut short, changed, dangling."),
    ("subject", "text", "", "Of which object, row or index."),
    ("detail", "text", "", "How it was seen, and what can be done."),
    ("package", "text", "", "Name of a Python package."),
    ("version", "text", "", "Its installed version."),
)
"""Of the index, statistics, comparison, verification and environment: by name."""
