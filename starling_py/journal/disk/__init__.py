"""The disk as the journals see it: file calls, work on files in a thread, room kept free."""
