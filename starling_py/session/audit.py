"""The audit log: who came in, who was kept out, and what was done to queues and the server.

It is a logger of its own, so that it can go to a file of its own. Each line begins with the
client's address, and its user in brackets if it has said who it is. Invariant: nothing of what
clients put, and no password, is in it.
"""

import logging
from typing import Final

NAME: Final = "starling_py.audit"
log: Final = logging.getLogger(NAME)
