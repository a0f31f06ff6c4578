"""Work on a stored database: verify, migrate, compact.

Nothing here is on the path of a visit. Start at `verify`.
"""
