"""The Rubin visit sequence archive and the visit simulations that fill it."""
