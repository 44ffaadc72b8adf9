"""The shell around the core: only here are trio, sockets and threads; it decides nothing itself."""
