"""Hello, World: put an item into a queue, and take it out again.

    .venv/bin/python examples/hello_world.py

Needs a server: ``scripts/server`` starts one on the port that is the default here.
"""

import argparse

from pymemcache.client.base import Client


def main() -> None:
    """Send a greeting through a queue."""
    parser = argparse.ArgumentParser(description="Hello, World through a queue.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=22122)
    options = parser.parse_args()

    # Trap: pymemcache asks for no reply by default, and then nobody is told when an item could
    # not be stored. A queue wants default_noreply=False: `set` returns once the item is safe.
    queue = Client((options.host, options.port), default_noreply=False)
    queue.set("hello", "Hello, World!")

    # Trap: a get takes the item away. `hello/peek` would look at it and leave it there.
    # Items are bytes; what text or JSON they hold is between producer and consumer.
    item = queue.get("hello")
    print(item.decode())

    # A queue with nothing in it is a miss, as in any cache. (Were something left in there from
    # before, it would have come out first, and this would be the greeting.)
    print("and then:", queue.get("hello"))
    queue.close()


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
