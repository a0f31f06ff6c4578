"""Care for an archive: what is wrong with it, and what may go."""
