"""One module an engine, and what they share; none knows what a visit is.

Which rows and chunks a table has is in `l1db_pipeline.store.tables`. Start at
`database`.
"""
