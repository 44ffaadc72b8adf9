"""Put increasing numbers into a queue, one every so often.

    .venv/bin/python examples/counting_producer.py
    .venv/bin/python examples/counting_producer.py --count 100 --pause 0

Start ``counting_consumer.py`` before, after, or several times: each number comes out once.
"""

import argparse
import itertools
import time

from pymemcache.client.base import Client


def main() -> None:
    """Count, for ever or up to a number."""
    parser = argparse.ArgumentParser(description="Put increasing numbers into a queue.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=22122)
    parser.add_argument("--queue", default="numbers")
    parser.add_argument("--count", type=int, help="stop after so many numbers")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two of them")
    options = parser.parse_args()

    # Trap: without default_noreply=False nobody hears of a number that was not stored.
    queue = Client((options.host, options.port), default_noreply=False)
    for number in itertools.islice(itertools.count(1), options.count):
        # Trap: the third argument is an expiry in seconds. Frameworks like to give one of their
        # own (Django: 300), and then what nobody took in time is gone. 0, the default, is never.
        if not queue.set(options.queue, str(number)):
            raise SystemExit(f"{number} was not stored")
        print("put", number, flush=True)
        time.sleep(options.pause)
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
