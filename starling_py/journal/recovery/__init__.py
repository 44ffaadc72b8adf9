"""A journal read back when the server starts, and repaired before it is written to."""
