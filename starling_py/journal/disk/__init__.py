"""The file system as the journals see it."""
