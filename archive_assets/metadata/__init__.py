"""The metadata database of visit sequences."""
