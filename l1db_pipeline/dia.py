"""Simulated difference image analysis under the original's names: a door."""

from l1db_pipeline.sources.dia import (
    DIA,
    N_FALSE_POSITIVES,
    N_TRANSIENTS,
    DiaModel,
    SimulatedSources,
    simulate_visit,
)

__all__ = [
    "DIA",
    "N_FALSE_POSITIVES",
    "N_TRANSIENTS",
    "DiaModel",
    "SimulatedSources",
    "simulate_visit",
]
