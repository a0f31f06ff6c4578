"""The columnar L1 store: one protocol, several backends."""
