"""The Dagster layer of the archive; the only modules here that import dagster."""

import warnings

import dagster as dg

# backfill policies are "beta" in dagster 1.13; the pins decide when they may change
warnings.filterwarnings("ignore", category=dg.BetaWarning)
