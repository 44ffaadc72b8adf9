"""A persistent FIFO queue server that any memcached client already speaks to."""

__version__ = "1.0.0"
