"""L1 tables as data, and the code that reads them."""
