"""Command-line programs of the visit sequence archive."""
