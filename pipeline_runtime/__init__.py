"""What both systems run on: embedded services, the edge of a command, Dagster.

Nothing here knows of visits or databases of either system.
"""
