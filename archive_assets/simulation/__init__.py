"""Drivers that make a visits table."""
