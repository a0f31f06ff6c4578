"""The L1 database behind the classes of ``lsst.dax.apdb``, for its clients.

What knows pandas, astropy's times or a class of theirs belongs here; what a database
holds, and how, belongs in ``store``. Needs the extra ``apdb``; `registration` first.
"""
