"""Command-line programs of the L1 database and the AP prototype."""
