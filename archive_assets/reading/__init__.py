"""Reading archived sequences: found, fetched, checked, compared.

Nothing here writes to the archive. Start at `simulations`.
"""
