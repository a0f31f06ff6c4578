"""Tables in memory: columns with exact NULLs, their ids, records and CSV text.

What a table is made of is in `l1db_pipeline.schema`. Start at `catalog`.
"""

from l1db_pipeline.catalog.catalog import Catalog

__all__ = ["Catalog"]
