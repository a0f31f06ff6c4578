"""Which visits a run makes: where they point, when, and from which table."""
