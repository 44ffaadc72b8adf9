"""The command ``starling-ctl``: looks at the queues of a running server, and acts on them.

It speaks the verbs of the protocol and ``stats``, and nothing else. ``restore`` alone, and what
``backup`` copies, touch the disk.
"""
