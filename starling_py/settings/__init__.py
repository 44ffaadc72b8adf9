"""The settings: what may be set, where it is read from, and whether it makes sense."""
