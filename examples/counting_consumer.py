"""Take numbers out of a queue as they come, and print them.

    .venv/bin/python examples/counting_consumer.py

It waits for ``counting_producer.py`` if that is slower, and catches up if it was ahead. Start it
twice, and the two share the numbers: who has waited longest gets the next one.
"""

import argparse

from pymemcache.client.base import Client


def main() -> None:
    """Print numbers, for ever or up to a count of them."""
    parser = argparse.ArgumentParser(description="Print the numbers that come out of a queue.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=22122)
    parser.add_argument("--queue", default="numbers")
    parser.add_argument("--count", type=int, help="stop after so many numbers")
    options = parser.parse_args()

    # Trap: a client's timeout must be longer than the wait below, or it gives up first, and an
    # item that was on its way to it is gone. Without one, pymemcache waits for ever.
    queue = Client((options.host, options.port), default_noreply=False, timeout=10)
    taken = 0
    while options.count is None or taken < options.count:
        # `/t=1000` waits up to 1000 ms for an item: no polling, and no delay when one arrives.
        item = queue.get(f"{options.queue}/t=1000")
        if item is None:
            continue
        taken += 1
        print("got", int(item), flush=True)
    queue.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
