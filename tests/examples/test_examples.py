"""Every example, run as a person runs it, against a server of its own."""

import os
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES, Example, run
from tests.process.server_process import ServerProcess, free_port


def test_every_example_is_tried_here() -> None:
    tried = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert all(f'"{path.name}"' in tried for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.py"))])
def test_an_example_tells_how_it_is_used(name: str) -> None:
    assert run(name, "--help")[0].startswith(f"usage: {name}")


WITHOUT_SERVER = [
    ("hello_world.py",), ("counting_consumer.py",), ("counting_producer.py",), ("show_stats.py",),
    ("distributed_logger.py", "write", "/dev/null"), ("priorities.py", "work"),
    ("redrive.py", "work"),
    ("stock_prices.py", "watch", "board"), ("task_status.py", "ask", "x"), ("word_count.py", "map"),
    ("work_queue.py", "put", "fail"), ("starling_scripts.py", "hello"),
    ("starling_scripts_trio.py",),
]  # fmt: skip


@pytest.mark.parametrize("words", WITHOUT_SERVER, ids=lambda words: words[0])
def test_an_example_without_a_server_ends_in_one_line(words: tuple[str, ...]) -> None:
    with free_port() as port:
        is_ours = words[0].startswith("starling_scripts")
        where = ("--server", f"127.0.0.1:{port}") if is_ours else ("--port", port)
        with Example(*words, *where) as example:  # behind the command
            assert example.ended() == 1
    assert example.lines == []
    (line,) = example.errors
    assert line.startswith("no server: ")
    assert line.endswith("Connection refused")


def test_hello_world(server: ServerProcess) -> None:
    assert run("hello_world.py", "--port", server.port) == [
        "Hello, World!",
        "and then: None",
    ]


def test_the_counting_consumer_prints_what_the_counting_producer_puts(
    server: ServerProcess,
) -> None:
    where = ("--port", server.port, "--count", 50)
    consumer = Example("counting_consumer.py", *where)
    assert run("counting_producer.py", *where, "--pause", 0)[-1] == "put 50"
    assert consumer.check_good_end() == [f"got {number}" for number in range(1, 51)]


def test_two_counting_consumers_share_the_numbers(server: ServerProcess) -> None:
    where = ("--port", server.port)
    consumers = [Example("counting_consumer.py", *where, "--count", 20) for _ in range(2)]
    run("counting_producer.py", *where, "--count", 40, "--pause", 0.001)
    taken = [
        [int(line.removeprefix("got ")) for line in each.check_good_end()] for each in consumers
    ]
    assert sorted(taken[0] + taken[1]) == list(range(1, 41))
    assert all(numbers == sorted(numbers) for numbers in taken)


def test_numbers_wait_in_the_queue_over_a_kill(server: ServerProcess) -> None:
    where = ("--port", server.port, "--count", 10)
    run("counting_producer.py", *where, "--pause", 0)
    server.kill()
    server.start()
    expected = [f"got {number}" for number in range(1, 11)]
    assert run("counting_consumer.py", *where) == expected


def test_the_distributed_logger_brings_several_programs_into_one_file(
    server: ServerProcess, tmp_path: Path
) -> None:
    where = ("--port", server.port)
    path = tmp_path / "app.log"
    writer = Example("distributed_logger.py", *where, "write", path, "--count", 8)
    programs = [
        Example("distributed_logger.py", *where, "demo", "--name", name) for name in ("one", "two")
    ]
    for program in programs:
        program.check_good_end()
    writer.check_good_end()
    text = path.read_text()
    for name in ("one", "two"):
        lines = [line.split(" ", 1)[1] for line in text.splitlines() if f" {name}: " in line]
        assert lines == [
            *(f"INFO {name}: working on {number} of 3" for number in (1, 2, 3)),
            f"ERROR {name}: the work failed",
        ]
    assert text.count("ValueError: an example of what goes wrong") == 2


def test_a_program_outlives_a_log_server_that_is_gone(port: int) -> None:
    program = Example("distributed_logger.py", "--port", port, "demo", "--count", 1)
    assert program.ended() == 0
    assert any("ConnectionRefusedError" in line for line in program.errors)


def test_show_stats_prints_the_server_and_its_queues(server: ServerProcess) -> None:
    client = server.client()
    client.set("jobs", b"1")
    client.set("jobs", b"2")
    client.set("other", b"3")
    client.get("other")
    head, totals, jobs, other = run("show_stats.py", "--port", server.port)
    client.close()
    assert head.startswith("version 1.0.0, up for ")
    assert totals == "2 connected, 2 items in all queues"
    assert jobs.startswith("jobs: 2 items, the oldest has waited ")
    assert other == "other: 0 items, the oldest has waited 0.0 s"


def test_the_main_job_keeps_all_promises(tmp_path: Path) -> None:
    lines = Path(os.__file__).read_bytes().splitlines(keepends=True)
    path = tmp_path / "some.log"
    path.write_bytes(b"".join(lines))
    output = run("main_job.py", path, "--kills", 1)
    assert output[0].startswith(f"{path}: {len(lines)} lines, 1 kills")
    assert output[-1] == "all promises were kept"
