"""One leader at a time among many workers, who takes over when it dies, as Politics had it.

    .venv/bin/python examples/leader.py one
    .venv/bin/python examples/leader.py two
    .venv/bin/python examples/leader.py three

Start some, and one of them leads; kill it (``kill -9``) or stop it (``kill -STOP``), and another
one leads after the lease is over.

There is one token in a queue, and who has it leads. ``add`` puts it there: that stores nothing as
long as the queue holds an item, waiting or open, so there is never a second token. The leader
opens it with a lease of some seconds, and ``touch`` begins the lease anew. When that does not come
in time, the server gives the token to the next one who waits. No configuration is needed.
"""

import argparse
import time

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

QUEUE = "leader"


def be_elected(client: Client, lease: int) -> None:
    """Wait until the token is here."""
    # If it is there already, nothing happens: False. So everybody may do this at any time.
    client.add(QUEUE, "token")
    # The server serves who has waited longest; a client's timeout must be longer than this wait.
    while client.get(f"{QUEUE}/open/lease={lease}/t=1000") is None:
        client.add(QUEUE, "token")


def lead(client: Client, name: str, lease: int) -> None:
    """Do what only one may do, as long as the token is here."""
    while True:
        # The server counts the lease from the moment it was asked, so this is before that.
        asked = time.monotonic()
        # False: the lease was over, and somebody else may lead already.
        if not client.touch(QUEUE, lease):
            return
        # Trap: at any point time may stand still for this program. Look at the clock right before
        # anything that must not be done twice, and let it take less time than is left.
        if time.monotonic() < asked + lease:
            print(f"{name} works", flush=True)
        time.sleep(lease / 4)


def main() -> None:
    """Be a candidate, for ever."""
    parser = argparse.ArgumentParser(description="One leader at a time among many workers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=22122)
    parser.add_argument(
        "--lease", type=int, default=2, help="seconds until a dead leader is missed"
    )
    parser.add_argument("name")
    options = parser.parse_args()

    client = Client((options.host, options.port), default_noreply=False, timeout=5)
    print(f"{options.name} is a candidate", flush=True)
    while True:
        try:
            be_elected(client, options.lease)
            print(f"{options.name} leads", flush=True)
            lead(client, options.name, options.lease)
            print(f"{options.name} leads no more", flush=True)
        except (OSError, MemcacheError) as error:
            # The server is away, so nobody can tell who leads: nobody does.
            print(f"{options.name}: {error}", flush=True)
            client.close()
            time.sleep(0.1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(0) from None
