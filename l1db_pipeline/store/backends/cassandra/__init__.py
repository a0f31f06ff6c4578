"""The L1 store on Apache Cassandra: start at ``store.py``.

Every row is written once, under a key that names the visit's part and the attempt; the
ledger says which attempts count. No clock of a client and no lock decides anything.
"""
