"""Inside the prototype archive: its folders, its cache, the ways in and out."""
