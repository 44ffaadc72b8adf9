"""Where a server is, how it is reached, and who says so: for the server and for its operators.

``address`` is the one grammar of an address, of where to listen as of where to connect; ``dialing``
opens a connection to one, and ``login`` is what a server with users is told first.
"""
