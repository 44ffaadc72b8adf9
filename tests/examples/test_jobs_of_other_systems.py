"""The examples that do the jobs of other systems, with workers that are killed on the way."""

import json
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES, Example, run
from tests.process.server_process import ServerProcess, wait_until
from tests.process.server_process import run as run_server

with_work_queue = pytest.mark.parametrize("configured_server", ["work_queue.yml"], indirect=True)
with_task_status = pytest.mark.parametrize("configured_server", ["task_status.yml"], indirect=True)
with_stock_prices = pytest.mark.parametrize(
    "configured_server", ["stock_prices.yml"], indirect=True
)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_the_configuration_of_an_example_is_right(path: Path) -> None:
    done = run_server("--config", path, "-p", 0, "--check-config")
    assert (done.returncode, done.stderr) == (0, "")


@with_work_queue
def test_a_job_whose_worker_is_killed_is_done_by_another_one(
    configured_server: ServerProcess,
) -> None:
    where = ("--port", configured_server.port)
    run("work_queue.py", *where, "put", "echo", "one")
    run("work_queue.py", *where, "put", "echo", "two")
    with Example("work_queue.py", *where, "work", "--pause", 60) as doomed:
        doomed.wait_for("begin echo one")
        with Example("work_queue.py", *where, "work", "--count", 2) as other:
            assert other.wait_for("begin") == "begin echo two"
            doomed.kill()
            assert other.check_good_end()[1:] == [
                "done echo two",
                "begin echo one",
                "done echo one",
            ]
    assert configured_server.stat("curr_items") == 0


@with_work_queue
def test_a_failing_job_is_tried_again_ever_later_and_then_kept_aside(
    configured_server: ServerProcess,
) -> None:
    where = ("--port", configured_server.port)
    run("work_queue.py", *where, "put", "fail")
    begin = time.monotonic()
    said = run("work_queue.py", *where, "work", "--count", 4, "--backoff", 0.1)
    assert time.monotonic() - begin > 0.1 + 0.2 + 0.4
    assert [line for line in said if line.startswith("try")] == [
        f"try {number} failed: fail (this job always fails)" for number in (1, 2, 3, 4)
    ]
    failed = ["1 failed", "the oldest: fail"]
    assert run("work_queue.py", *where, "failed") == failed
    configured_server.restart()
    assert run("work_queue.py", *where, "failed") == failed
    assert run("work_queue.py", *where, "failed", "--again") == ["again fail"]
    assert run("work_queue.py", *where, "failed") == ["0 failed"]
    assert configured_server.stat("queue_jobs_items") == 1


@with_work_queue
def test_a_job_that_kills_its_workers_is_kept_aside_too(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    run("work_queue.py", *where, "put", "--urgent", "echo", "poison")
    for _ in range(4):
        with Example("work_queue.py", *where, "work", "--pause", 60) as doomed:
            doomed.wait_for("begin echo poison")
    wait_until(lambda: configured_server.stat("curr_items") == 1)
    assert run("work_queue.py", *where, "failed") == ["1 failed", "the oldest: echo poison"]


@with_work_queue
def test_urgent_jobs_go_first_and_late_ones_when_their_time_has_come(
    configured_server: ServerProcess,
) -> None:
    where = ("--port", configured_server.port)
    run("work_queue.py", *where, "put", "--later", 600, "echo", "much later")
    run("work_queue.py", *where, "put", "echo", "ordinary")
    run("work_queue.py", *where, "put", "--urgent", "echo", "urgent")
    said = run("work_queue.py", *where, "work", "--count", 2)
    assert said[1::2] == ["done echo urgent", "done echo ordinary"]
    begin = time.monotonic()
    run("work_queue.py", *where, "put", "--later", 2, "echo", "late")
    said = run("work_queue.py", *where, "work", "--count", 1)
    assert said[1::2] == ["done echo late"]
    assert time.monotonic() - begin > 2


@with_task_status
def test_the_status_of_a_task_can_be_asked_by_anybody(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    run("task_status.py", *where, "start", "report")
    asked = [run("task_status.py", *where, "ask", "report") for _ in range(2)]
    assert asked == [["waiting"], ["waiting"]]
    with Example("task_status.py", *where, "ask", "report", "--wait") as asking:
        asking.wait_for("waiting")
        run("task_status.py", *where, "work", "--count", 1, "--steps", 2, "--pause", 0.3)
        first, *between, last = asking.check_good_end()
    assert (first, last) == ("waiting", "done")
    # It looks now and then, so what stood there only for a short time may be missing.
    assert between in ([], ["50 %"], ["100 %"], ["50 %", "100 %"])
    assert run("task_status.py", *where, "ask", "report") == ["done"]
    nobody = Example("task_status.py", *where, "ask", "other")
    assert (nobody.ended(), nobody.errors) == (1, ["no task other is known"])


@with_task_status
def test_a_task_whose_worker_is_killed_begins_anew(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    run("task_status.py", *where, "start", "report")
    with (
        Example("task_status.py", *where, "work", "--steps", 10_000, "--pause", 0.1) as doomed,
        Example("task_status.py", *where, "ask", "report", "--wait") as asking,
    ):
        doomed.wait_for("begin report")
        asking.wait_for("0 %")
        doomed.kill()
        work = run("task_status.py", *where, "work", "--count", 1, "--steps", 2, "--pause", 0.3)
        assert work == ["begin report", "done report"]
        assert asking.check_good_end()[-1] == "done"


def candidates(stack: ExitStack, server: ServerProcess, *names: str) -> dict[str, Example]:
    """Start workers who would all lead."""
    where = ("--port", server.port, "--lease", 1)
    return {name: stack.enter_context(Example("leader.py", *where, name)) for name in names}


def leader(workers: dict[str, Example]) -> str:
    """Return who of these leads, once one alone does and works.

    On a busy machine a leader may lose its lease, and say so after the next one leads.
    """
    leading: list[str] = []

    def one_works() -> bool:
        said = {name: each.lines[-1] for name, each in workers.items() if each.lines}
        leading[:] = [name for name in said if said[name].endswith((" leads", " works"))]
        return len(leading) == 1 and said[leading[0]].endswith(" works")

    wait_until(one_works)
    return leading[0]


def test_another_worker_leads_when_the_leader_is_killed(server: ServerProcess) -> None:
    with ExitStack() as stack:
        workers = candidates(stack, server, "one", "two", "three")
        while workers:
            workers.pop(leader(workers)).kill()
    assert server.stat("queue_leader_total_items") == 1


def test_a_leader_that_hangs_leads_no_more_when_it_goes_on(server: ServerProcess) -> None:
    with ExitStack() as stack:
        first = candidates(stack, server, "first")["first"]
        first.wait_for("first works")
        second = candidates(stack, server, "second")["second"]
        first.signal(signal.SIGSTOP)
        second.wait_for("second works")
        first.signal(signal.SIGCONT)
        first.wait_for("first leads no more")
        second.wait_for("second works")


def test_there_is_one_leader_again_after_the_server_was_killed(server: ServerProcess) -> None:
    with ExitStack() as stack:
        workers = candidates(stack, server, "one", "two")
        leader(workers)
        server.kill()
        for name, worker in workers.items():
            worker.wait_for(f"{name}: ")
        server.start()
        leader(workers)
    assert server.stat("queue_leader_total_items") == 1


@with_stock_prices
def test_a_price_goes_to_all_subscribers_or_to_one(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    names = ("prices+alice", "prices+bob")
    with ExitStack() as stack:
        watching = [
            Example("stock_prices.py", *where, "watch", name, "--count", 2) for name in names
        ]
        for each in watching:
            stack.enter_context(each).wait_for("watching")
        run("stock_prices.py", *where, "send", "prices", "IBM 140")
        for name in names:
            run("stock_prices.py", *where, "send", name, f"for {name} alone")
        for name, each in zip(names, watching, strict=True):
            assert each.check_good_end()[1:] == [f"{name}: IBM 140", f"{name}: for {name} alone"]
    assert configured_server.stat("curr_items") == 0


@with_stock_prices
def test_a_subscriber_who_is_away_gets_the_prices_later(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    with Example("stock_prices.py", *where, "watch", "prices+alice") as alice:
        alice.wait_for("watching")
    run("stock_prices.py", *where, "send", "prices", "IBM 140")
    configured_server.restart()
    said = run("stock_prices.py", *where, "watch", "prices+alice", "--count", 1)
    assert said[1:] == ["prices+alice: IBM 140"]


@with_stock_prices
def test_a_price_goes_to_those_who_watch_its_topic(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    for topic in ("dow_jones.ibm", "dow_jones.ge", "nasdaq.aapl"):
        run("stock_prices.py", *where, "send", topic, topic)
    board = run("stock_prices.py", *where, "watch", "board", "--count", 2)
    assert board[1:] == ["board: dow_jones.ibm", "board: dow_jones.ge"]
    ibm = run("stock_prices.py", *where, "watch", "ibm_watch", "--count", 1)
    assert ibm[1:] == ["ibm_watch: dow_jones.ibm"]


def test_words_are_counted_right_though_mappers_are_killed(
    server: ServerProcess, tmp_path: Path
) -> None:
    where = ("--port", server.port)
    path = tmp_path / "some.txt"
    path.write_text("the cat\nThe dog and the cat\n\nand so on\n" * 50)
    words = Counter(path.read_text().lower().split())
    expected = [
        f"{count} {word}" for word, count in sorted(words.items(), key=lambda each: each[0])
    ]
    with ExitStack() as stack:
        counting = stack.enter_context(Example("word_count.py", *where, "count", path))
        for _ in range(3):
            # There are lines left for the next one when it is killed, also if that takes a while.
            with Example("word_count.py", *where, "map", "--pause", 0.05) as doomed:
                for _ in range(10):
                    doomed.wait_for("mapped line")
        stack.enter_context(Example("word_count.py", *where, "map"))
        said = counting.check_good_end()
    assert said[0] == "200 lines"
    assert sorted(said[2:], key=lambda line: line.split()[1]) == expected
    assert server.stat("curr_items") == 0


def test_a_line_that_was_mapped_twice_is_added_once(server: ServerProcess, tmp_path: Path) -> None:
    where = ("--port", server.port)
    path = tmp_path / "some.txt"
    path.write_text("once\nonce\n")
    with closing(server.client()) as client, ExitStack() as stack:
        counting = stack.enter_context(Example("word_count.py", *where, "count", path))
        counting.wait_for("2 lines")
        # What a mapper leaves that is killed after it stored the result, and before the close.
        line = json.loads(client.get("lines/open"))
        result = {"number": line["number"], "words": {"once": 1}}
        client.set(line["reply_to"], json.dumps(result))
        client.close()
        with Example("word_count.py", *where, "map") as mapper:
            mapper.wait_for("mapped line")
            mapper.wait_for("mapped line")
            assert counting.check_good_end()[1:] == ["1 lines were mapped twice", "2 once"]


def test_urgent_jobs_are_done_first_and_each_once(server: ServerProcess) -> None:
    where = ("--port", server.port)
    for priority in ("low", "normal", "high", "low"):
        token = () if priority == "low" else ("--once", priority)
        for _ in range(2):
            run("priorities.py", *where, "put", *token, priority, f"do {priority}")
    assert run("priorities.py", *where, "work", "--count", 6) == [
        "high do high",
        "normal do normal",
        *["low do low"] * 4,
    ]


@pytest.mark.parametrize("configured_server", ["redrive.yml"], indirect=True)
def test_what_has_failed_is_kept_aside_and_tried_again(configured_server: ServerProcess) -> None:
    where = ("--port", configured_server.port)
    for job in ("one", "two"):
        run("redrive.py", *where, "put", job)
    broken = ["failed one", "failed two"]
    assert run("redrive.py", *where, "work", "--count", 2, "--broken") == broken
    assert run("redrive.py", *where, "failed") == [
        "item 1: buried in mail, 1 tries",
        "item 2: buried in mail, 1 tries",
    ]
    configured_server.restart()
    assert run("redrive.py", *where, "again") == ["2 sent back"]
    assert run("redrive.py", *where, "work", "--count", 2) == ["sent one", "sent two"]
