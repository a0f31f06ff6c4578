"""Random positions under the original's names: a door."""

from l1db_pipeline.sources.generators import rand_cone_xyz, rand_sphere_xyz

__all__ = ["rand_cone_xyz", "rand_sphere_xyz"]
