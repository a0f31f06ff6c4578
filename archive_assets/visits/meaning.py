"""What the columns of an opsim visits table mean: type, unit and a few words."""

from typing import NamedTuple

__all__ = ["VISITS_COLUMNS", "ColumnMeaning"]


class ColumnMeaning(NamedTuple):
    """Type, unit (empty for none) and meaning of a column."""

    kind: str
    unit: str
    words: str


VISITS_COLUMNS = {
    name: ColumnMeaning(kind, unit, words)
    for name, kind, unit, words in (
        ("observationId", "int", "", "Number of the visit in its sequence."),
        ("night", "int", "", "Night of the survey, counted from its start."),
        ("observationStartMJD", "float", "d", "Shutter opens, MJD."),
        ("flush_by_mjd", "float", "d", "The queue was to be filled anew by then, MJD."),
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
}
"""Meaning by name, in the order of people's interest."""
