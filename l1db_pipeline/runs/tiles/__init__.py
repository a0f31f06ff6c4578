"""A visit divided into tiles, each worked on by a process of its own."""
