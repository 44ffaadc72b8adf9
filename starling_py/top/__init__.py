"""The monitor ``starling-top``: a server's queues, printed once or as a live screen.

``client`` asks, ``snapshot``, ``course``, ``rows``, ``wrong`` and ``detail`` make sense of the
answers, ``list_screen``, ``queue_screen``, ``help_screen`` and ``dialogs`` make lines of it,
``monitor`` has the state and takes the keys, ``terminal`` is the only one that knows urwid's loop
and trio, ``cli`` wires them. Any server that answers memcached's ``stats`` with Starling's key
names will do. The package shares nothing with the server but the version number.
"""
