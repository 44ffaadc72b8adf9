"""Tasks in the background whose status can be asked, as BackgrounDRb had them.

    .venv/bin/starling-py --config examples/task_status.yml
    .venv/bin/python examples/task_status.py work
    .venv/bin/python examples/task_status.py start report-7
    .venv/bin/python examples/task_status.py ask report-7
    .venv/bin/python examples/task_status.py ask report-7 --wait

A worker takes tasks out of one queue and writes how far it is into a queue of the task's own,
``status.report-7``. That holds one item, and a new one takes the place of the old
(``task_status.yml``): whoever asks looks at it and leaves it there. Any program that speaks to
the server can ask, a web page for instance, and the worker may be on another machine. If it is
killed, the task begins anew with another worker.
"""

import argparse
import json
import time

from pymemcache.client.base import Client


def start(client: Client, name: str) -> None:
    """Have a task done in the background."""
    # The status comes first: who asks right away must find that the task is known.
    report(client, name, "waiting")
    if not client.set("tasks", name):
        raise SystemExit("the task was not stored")
    print("started", name)


def report(client: Client, name: str, text: str) -> None:
    """Write how far a task is, for whoever asks."""
    if not client.set(f"status.{name}", json.dumps({"text": text, "time": time.time()})):
        raise SystemExit("the status was not stored")


def work(client: Client, steps: int, pause: float, count: int | None) -> None:
    """Do tasks, for ever or up to a count of them."""
    done = 0
    while count is None or done < count:
        item = client.get("tasks/open/t=1000")
        if item is None:
            continue
        name = item.decode()
        print("begin", name, flush=True)
        for step in range(1, steps + 1):
            time.sleep(pause)  # the work
            report(client, name, f"{100 * step // steps} %")
        report(client, name, "done")
        client.get("tasks/close")
        print("done", name, flush=True)
        done += 1


def ask(client: Client, name: str, *, wait: bool) -> None:
    """Print the status of a task, or every new one until it is done."""
    shown = None
    while True:
        # Trap: without /peek the status would be taken away, and the next one to ask gets none.
        item = client.get(f"status.{name}/peek")
        if item is None:
            raise SystemExit(f"no task {name} is known")
        text = json.loads(item)["text"]
        if text != shown:
            print(text, flush=True)
            shown = text
        if not wait or text == "done":
            return
        time.sleep(0.1)


def main() -> None:
    """Start a task, do tasks, or ask for the status of one."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(
        description="Tasks whose status can be asked.", parents=[where]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", parents=[where], help="have a task done")
    starting.add_argument("name")
    working = commands.add_parser("work", parents=[where], help="do tasks")
    working.add_argument("--steps", type=int, default=10, help="steps that a task has")
    working.add_argument("--pause", type=float, default=0.5, help="seconds that a step takes")
    working.add_argument("--count", type=int, help="stop after so many tasks")
    asking = commands.add_parser("ask", parents=[where], help="ask how far a task is")
    asking.add_argument("name")
    asking.add_argument("--wait", action="store_true", help="go on until it is done")
    options = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22133))

    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    if options.command == "start":
        start(client, options.name)
    elif options.command == "work":
        work(client, options.steps, options.pause, options.count)
    else:
        ask(client, options.name, wait=options.wait)
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
