"""A queue whose failures are kept aside, looked at, and tried again.

    .venv/bin/starling-py --config examples/redrive.yml
    .venv/bin/python examples/redrive.py put mail-1
    .venv/bin/python examples/redrive.py work --broken
    .venv/bin/python examples/redrive.py failed
    .venv/bin/python examples/redrive.py again

A worker buries a job that it cannot do: it goes to the queue ``mail.failed`` at once, which knows
where it came from. When the reason is gone, ``again`` sends all of them back.
"""

import argparse

from pymemcache.client.base import Client

from starling_py.client import Starling


def work(client: Client, count: int, *, broken: bool) -> None:
    """Do jobs; while the mail server is broken, bury them."""
    for _ in range(count):
        job = client.get("mail/open/t=1000")
        if job is None:
            break
        print("failed" if broken else "sent", job.decode(errors="replace"), flush=True)
        client.get("mail/bury" if broken else "mail/close")


def main() -> None:
    """Do what the command line asks for."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[where])
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("put", parents=[where], help="put a job").add_argument("job")
    working = what.add_parser("work", parents=[where], help="do jobs")
    working.add_argument("--count", type=int, default=1, help="so many")
    working.add_argument("--broken", action="store_true", help="fail at each")
    what.add_parser("failed", parents=[where], help="list what has failed")
    what.add_parser("again", parents=[where], help="have it tried again")
    given = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22132))
    client = Client((given.host, given.port), default_noreply=False)
    with Starling(f"{given.host}:{given.port}") as starling:
        if given.what == "put":
            client.set("mail", given.job)
        elif given.what == "work":
            work(client, given.count, broken=given.broken)
        elif given.what == "failed":
            for item in starling.browse("mail.failed"):
                print(f"item {item.id}: {item.reason} in {item.origin}, {item.deliveries} tries")
        else:
            print(starling.move("mail.failed"), "sent back")


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
