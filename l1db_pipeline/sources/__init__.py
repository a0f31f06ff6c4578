"""Variable sources: drawn once, kept in one file, searched by field."""
