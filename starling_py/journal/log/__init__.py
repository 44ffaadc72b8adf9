"""The log of a spool: one write and one sync for what many journals have to make safe."""
