"""A work queue, as Delayed Job has it: retries, failed jobs, jobs for later and urgent ones.

    .venv/bin/starling-py --config examples/work_queue.yml
    .venv/bin/python examples/work_queue.py put echo hello
    .venv/bin/python examples/work_queue.py put --later 60 echo "a minute has passed"
    .venv/bin/python examples/work_queue.py put --urgent fail
    .venv/bin/python examples/work_queue.py work
    .venv/bin/python examples/work_queue.py failed [--again]

Start as many workers as you like. A worker opens a job and closes it only when the work is done:
kill it in the middle (``kill -9``), and the job goes to another one at once. A job that fails is
tried again after 1 s, then 2, 4 ...; when it was begun as often as ``max_deliveries`` in
``work_queue.yml`` allows, the server keeps it aside in the queue ``failed``.
"""

import argparse
import time

from pymemcache.client.base import Client


def put(client: Client, job: str, *, urgent: bool, later: float) -> None:
    """Put a job into its queue; nobody gets it before its time has come."""
    queue = "urgent" if urgent else "jobs"
    if not client.set(f"{queue}/delay={later:.3f}" if later else queue, job):
        raise SystemExit("the job was not stored")
    print("put", job)


def work(client: Client, count: int | None, pause: float, backoff: float) -> None:
    """Do one job after another, for ever or up to a count of tries."""
    tries = 0
    while count is None or tries < count:
        for queue, item, item_id in next_jobs(client):
            do(client, queue, item.decode(errors="replace"), int(item_id), pause, backoff)
            tries += 1


def next_jobs(client: Client) -> list[tuple[str, bytes, bytes]]:
    """Open an urgent job, or else wait up to half a second for any."""
    item, item_id = client.gets("urgent/open")
    if item is not None:
        return [("urgent", item, item_id)]
    # Of two queues that have something, both give an item: so there may be two jobs.
    found = client.gets_many(["urgent/open/t=500", "jobs/open"])
    return [(key.split("/")[0], *hit) for key, hit in found.items()]


def do(client: Client, queue: str, job: str, item_id: int, pause: float, backoff: float) -> None:
    """Do a job that is open, then close it, or give it back for a later try."""
    print("begin", job, flush=True)
    try:
        time.sleep(pause)
        if job == "fail":
            raise RuntimeError("this job always fails")
    except Exception as error:
        # The server counts how often a job was begun; the pause doubles each time.
        tries = int(client.stats("queue", queue)[b"open_%d_deliveries" % item_id])
        rest = backoff * 2 ** (tries - 1)
        client.get(f"{queue}/abort={item_id}/delay={rest:.3f}")
        print(f"try {tries} failed:", job, f"({error})", flush=True)
    else:
        # Trap: what is killed right here is done and will be done again. A job must bear that.
        client.get(f"{queue}/close={item_id}")
        print("done", job, flush=True)


def failed(client: Client, *, again: bool) -> None:
    """Show the jobs that failed too often, or put them back for new tries."""
    while again and (item := client.get("failed/open")) is not None:
        if not client.set("jobs", item):
            raise SystemExit("the job was not stored; it stays with the failed ones")
        client.get("failed/close")
        print("again", item.decode(errors="replace"))
    if not again:
        print(client.stats("queue", "failed").get(b"queue_failed_items", 0), "failed")
        if (item := client.get("failed/peek")) is not None:
            print("the oldest:", item.decode(errors="replace"))


def main() -> None:
    """Put, work, or look after what failed."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(description="A work queue with retries.", parents=[where])
    commands = parser.add_subparsers(dest="command", required=True)
    putting = commands.add_parser("put", parents=[where], help="put a job")
    putting.add_argument("--urgent", action="store_true", help="before all that is not urgent")
    putting.add_argument("--later", type=float, default=0, help="not before so many seconds")
    putting.add_argument("job", nargs="+", help="echo WORD..., or fail")
    working = commands.add_parser("work", parents=[where], help="do jobs")
    working.add_argument("--count", type=int, help="stop after so many tries")
    working.add_argument("--pause", type=float, default=0, help="seconds that a job takes")
    working.add_argument("--backoff", type=float, default=1, help="seconds before the second try")
    failing = commands.add_parser("failed", parents=[where], help="show the jobs that failed")
    failing.add_argument("--again", action="store_true", help="put them back")
    options = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22131))

    # Trap: an open job belongs to one connection, so one client a worker, and no pool.
    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    if options.command == "put":
        put(client, " ".join(options.job), urgent=options.urgent, later=options.later)
    elif options.command == "work":
        work(client, options.count, options.pause, options.backoff)
    else:
        failed(client, again=options.again)
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
