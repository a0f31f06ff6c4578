"""Whether an archive is whole: verify it, repair it, remove what is unreferenced.

What archives and reads is elsewhere. Start at `verify`.
"""
