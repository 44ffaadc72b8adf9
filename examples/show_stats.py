"""Show what is in a server's queues.

    .venv/bin/python examples/show_stats.py

``starling-top`` shows the same and more, live; this is how a program of yours reads it.
"""

import argparse
import re

from pymemcache.client.base import Client


def main() -> None:
    """Print a line for the server and one for each queue."""
    parser = argparse.ArgumentParser(description="Show what is in a server's queues.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=22122)
    options = parser.parse_args()

    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    # Trap: the names are bytes, and so are most values: pymemcache knows only some of memcached's
    # own names and makes numbers of those.
    stats = {name.decode(): _text(value) for name, value in client.stats().items()}
    client.close()

    print(f"version {stats['version']}, up for {stats['uptime']} s")
    print(f"{stats['curr_connections']} connected, {stats['curr_items']} items in all queues")
    # Trap: `queue_jobs_items` names a queue, but `queue_jobs_total_items` ends in the same word.
    # `_age` stands once a queue.
    names = [match[1] for name in stats if (match := re.fullmatch("queue_(.+)_age", name))]
    for name in names:
        items, age = stats[f"queue_{name}_items"], int(stats[f"queue_{name}_age"])
        print(f"{name}: {items} items, the oldest has waited {age / 1000:.1f} s")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
