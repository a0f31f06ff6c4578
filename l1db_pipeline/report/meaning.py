"""What the columns of a run's tables mean: type, unit and a few words."""

from l1db_pipeline.report.ap_proto_log import STEP_KEYS, VISIT_COLUMNS

__all__ = ["COMPARISON_COLUMNS", "TABLE_COLUMNS", "TIMING_COLUMNS"]

_Meaning = tuple[str, str, str]
_TIMES = {"real": "wall time", "cpu": "CPU time of the client, user and system"}
_STEPS = {key: step for step, key in STEP_KEYS.items() if "Nightly" not in step} | {
    "select": "select from all tables",
    "visit": "whole visit",
}
_NUMBERS = {
    "visit": "Visit: night and sequence number.",
    "order": "Place of the visit in the run.",
    "obj_selected": "DiaObjects that the region's query found.",
    "src_selected": "DiaSources of history that were read.",
    "fsrc_selected": "DiaForcedSources of history that were read.",
    "obj_in_fov": "DiaObjects in the field of view.",
    "obj_count": "Rows of DiaObject.",
    "src_count": "Rows of DiaSource.",
    "fsrc_count": "Rows of DiaForcedSource.",
}


def _timing(name: str) -> _Meaning:
    if name in _NUMBERS:
        return "float", "", _NUMBERS[name]
    step, _, kind = name.rpartition("_")
    return "float", "s", f"{_STEPS[step]}: {_TIMES[kind]}."


TIMING_COLUMNS = {name: _timing(name) for name in (*VISIT_COLUMNS, "order")}
"""Of a run's visits."""

TABLE_COLUMNS: dict[str, _Meaning] = {
    "table": ("string", "", "Table of the database."),
    "rows": ("int", "", "Rows."),
    "MB": ("float", "MB", "Size on disk, with its indexes."),
}
COMPARISON_COLUMNS: dict[str, _Meaning] = {
    "candidate": ("string", "", "Configuration of the plan."),
    "verdict": ("string", "", "Best, how many times as dear, or not distinguishable."),
    "cost_s": ("float", "s", "CPU of client and server for a visit, mean at the end."),
    "median_visit_s": ("float", "s", "Wall time of a visit, median at the end."),
    "MB": ("float", "MB", "Size of the database, with its indexes."),
}
