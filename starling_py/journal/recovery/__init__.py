"""Reading a journal back when the server starts, and what it repairs before it writes."""
