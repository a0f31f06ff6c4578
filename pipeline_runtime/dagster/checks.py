"""Results of checks, from lists of problems that the cores found."""

from collections.abc import Mapping, Sequence

import dagster as dg

from pipeline_runtime.dagster.tables import table

__all__ = ["check_result", "refuse"]

_SHOWN = 5


def check_result(
    name: str,
    problems: Sequence[str],
    *,
    metadata: Mapping[str, float] | None = None,
    asset_key: dg.AssetKey | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return a check's result: passed if there are no problems."""
    rows = [{"problem": problem} for problem in problems]
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=name,
        asset_key=asset_key,
        severity=severity,
        description=_in_short(problems),
        metadata={
            "problems": len(problems),  # plotted over time
            **({"found": table(rows, {"problem": "string"})} if rows else {}),
            **(metadata or {}),
        },
    )


def _in_short(problems: Sequence[str]) -> str | None:
    """Return the first problems, which the page of the check shows as its result."""
    further = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "; ".join([*problems[:_SHOWN], *further]) or None


def refuse(result: dg.AssetCheckResult) -> None:
    """Fail the step, without a retry, if a check that guards what follows failed.

    The asset is then not materialized, so that no sensor follows it either.

    Raises
    ------
    dagster.Failure
        With the check's problems.
    """
    if not result.passed:
        raise dg.Failure(
            description=f"{result.check_name}: {result.description}",
            allow_retries=False,
        )
