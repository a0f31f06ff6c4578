"""Timings of runs, from databases, logs or CSV files, as plots and one HTML page."""
