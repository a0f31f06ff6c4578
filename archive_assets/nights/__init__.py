"""A night as a whole: its index, its report, which simulations cover it.

One sequence is the business of `archive_assets.archiving`. Start at `index`.
"""
