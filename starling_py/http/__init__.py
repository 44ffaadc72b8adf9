"""What the server tells by HTTP: statistics, health, and a page for whoever looks after it.

All of it is synchronous and knows no sockets: bytes of a client become a request, a request becomes
an answer, and ``server/web.py`` carries both. What takes long is made in short steps. Nothing here
changes a queue: what the page asks for is said to the server in its own protocol.
"""
