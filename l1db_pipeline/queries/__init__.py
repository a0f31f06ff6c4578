"""What people ask of an L1 database in Python: objects, light curves, visits.

Results convert to pandas, Astropy and Arrow. The pipeline itself never comes here; it
asks the store. Start at `database`.
"""
