"""Times of the steps of a visit, for scripts: a door."""

from l1db_pipeline.store.timing import StepTiming, Timings

__all__ = ["StepTiming", "Timings"]
