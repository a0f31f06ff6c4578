"""Revisions: first the original's schema, then what lies underneath."""
