"""Numbers that are set through the environment."""

from collections.abc import Mapping

from pipeline_runtime.errors import EnvironmentValueError

__all__ = ["seconds"]


def seconds(environ: Mapping[str, str], variable: str, default: float) -> float:
    """Return what a variable of the environment says, or the default.

    Raises
    ------
    EnvironmentValueError
        If it is not a number.
    """
    text = environ.get(variable)
    if not text:
        return default
    try:
        return float(text)
    except ValueError as error:
        raise EnvironmentValueError(
            f"{variable} must be seconds, not {text!r}"
        ) from error
