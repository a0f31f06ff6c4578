"""The data store of the archive: objects staged, written, read back, compared."""
