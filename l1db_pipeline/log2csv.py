"""Logs of ap_proto under the original's names: a door."""

from l1db_pipeline.report.ap_proto_log import (
    DAILY_COLUMNS,
    SHORT_COLUMNS,
    VISIT_COLUMNS,
    LogParser,
    format_value,
    parse_log,
)

__all__ = [
    "DAILY_COLUMNS",
    "SHORT_COLUMNS",
    "VISIT_COLUMNS",
    "LogParser",
    "format_value",
    "parse_log",
]
