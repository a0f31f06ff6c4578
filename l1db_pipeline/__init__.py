"""The Rubin L1 database prototype: schema, store, AP prototype, reports."""
