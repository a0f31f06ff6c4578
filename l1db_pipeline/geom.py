"""Rotations and tiles under the original's names: a door."""

from l1db_pipeline.sky.geometry import make_square_tiles, rotation_matrix

__all__ = ["make_square_tiles", "rotation_matrix"]
