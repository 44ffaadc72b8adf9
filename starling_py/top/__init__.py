"""The monitor ``starling-top``: a server's statistics, printed once or as a live table.

``client`` fetches, ``model`` computes, ``view`` draws and ``cli`` wires them. Any server that
answers memcached's ``stats`` with Starling's key names will do. The package shares nothing with the
server but the version number, and it only reads: it sends no command except ``stats``.
"""
