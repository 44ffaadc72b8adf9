"""Stock prices to all subscribers, to those of a topic, and to one: RabbitMQ's fanout and topics.

    .venv/bin/starling-py --config examples/stock_prices.yml
    .venv/bin/python examples/stock_prices.py watch prices+alice
    .venv/bin/python examples/stock_prices.py watch prices+bob
    .venv/bin/python examples/stock_prices.py send prices "IBM 140"
    .venv/bin/python examples/stock_prices.py send prices+alice "for you alone"
    .venv/bin/python examples/stock_prices.py watch board
    .venv/bin/python examples/stock_prices.py send dow_jones.ibm "IBM 141"

- To all: what is put into ``prices`` goes to every child ``prices+NAME``. A child is there as soon
  as somebody asks for it, and keeps what comes while its subscriber is away.
- To one: what is put into ``prices+alice`` goes only there.
- By topic: the routes in ``stock_prices.yml`` send what is put into ``dow_jones.ibm`` to ``board``
  and ``ibm_watch``, whose pattern it matches.
"""

import argparse

from pymemcache.client.base import Client


def send(client: Client, queue: str, text: str) -> None:
    """Put a price into a queue, and so into all where it goes."""
    # True: all of them have it. False: one of them is full, and none of them has it.
    if not client.set(queue, text):
        raise SystemExit("a subscriber's queue is full; nobody got it")
    print(f"sent to {queue}: {text}", flush=True)


def watch(client: Client, queue: str, count: int | None) -> None:
    """Print what comes, for ever or up to a count."""
    client.get(f"{queue}/peek")  # from here on there is such a child, and nothing is missed
    print(f"watching {queue}", flush=True)
    got = 0
    while count is None or got < count:
        item = client.get(f"{queue}/t=1000")
        if item is not None:
            print(f"{queue}: {item.decode()}", flush=True)
            got += 1


def main() -> None:
    """Send a price, or watch for prices."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(description="Stock prices to many.", parents=[where])
    commands = parser.add_subparsers(dest="command", required=True)
    sending = commands.add_parser("send", parents=[where], help="put a price into a queue")
    sending.add_argument("queue", help="prices, prices+NAME, or a topic such as dow_jones.ibm")
    sending.add_argument("text")
    watching = commands.add_parser("watch", parents=[where], help="print what comes into a queue")
    watching.add_argument("queue", help="prices+NAME, board or ibm_watch")
    watching.add_argument("--count", type=int, help="stop after so many prices")
    options = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22134))

    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    if options.command == "send":
        send(client, options.queue, options.text)
    else:
        watch(client, options.queue, options.count)
    client.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
