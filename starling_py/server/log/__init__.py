"""The log: a handler that only hands lines over, and a thread that writes them."""
