"""The Dagster kit of both code locations; the only part here that imports dagster.

Assets, jobs and what they mean are in the packages' own ``defs``.
"""

import warnings

import dagster as dg

# backfill policies are "beta" in dagster 1.13; the pins decide when they may change
warnings.filterwarnings("ignore", category=dg.BetaWarning)
