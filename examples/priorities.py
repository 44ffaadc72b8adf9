"""A work queue with three priorities: urgent work first, whoever waits gets what comes first.

    .venv/bin/starling-py --port 22122 --queue_path spool
    .venv/bin/python examples/priorities.py put low "tidy up"
    .venv/bin/python examples/priorities.py put high "the house is on fire"
    .venv/bin/python examples/priorities.py work

A job may be put with a token (``--once order-17``): sent again after a connection broke, it is
still done once.
"""

import argparse

from pymemcache.client.base import Client

PRIORITIES = ("high", "normal", "low")


def put(client: Client, priority: str, job: str, once: str | None) -> None:
    """Put a job into the queue of its priority."""
    if not client.set(priority if once is None else f"{priority}/once={once}", job):
        raise SystemExit("the job was not stored")
    print("put", job)


def work(client: Client, count: int | None) -> None:
    """Do one job after another, the most urgent one first."""
    done = 0
    while count is None or done < count:
        # At most one job comes back, from the first of these queues that has one.
        found = client.get_many(["high/open/first", "normal/open", "low/open/t=1000"])
        for key, job in found.items():
            queue = key.split("/")[0]
            print(queue, job.decode(errors="replace"), flush=True)
            client.get(f"{queue}/close")
            done += 1


def main() -> None:
    """Do what the command line asks for."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[where])
    what = parser.add_subparsers(dest="what", required=True)
    putting = what.add_parser("put", parents=[where], help="put a job")
    putting.add_argument("priority", choices=PRIORITIES)
    putting.add_argument("job")
    putting.add_argument("--once", metavar="TOKEN", help="store it once, however often it is sent")
    working = what.add_parser("work", parents=[where], help="do jobs")
    working.add_argument("--count", type=int, help="end after so many")
    given = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22122))
    client = Client((given.host, given.port), default_noreply=False)
    if given.what == "put":
        put(client, given.priority, given.job, given.once)
    else:
        work(client, given.count)


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
