"""The scripts of Ruby's Starling class, translated, against servers of their own."""

from pathlib import Path

from tests.examples.running import Example, run
from tests.process.server_process import ServerProcess


def test_hello_world_in_rubys_words(server: ServerProcess) -> None:
    said = run("starling_scripts.py", "--server", f"127.0.0.1:{server.port}", "hello")
    assert said == ["Hello, World!", "None"]


def test_a_consumer_in_rubys_words_waits_for_the_producer(server: ServerProcess) -> None:
    where = ("--server", f"127.0.0.1:{server.port}")
    consumer = Example("starling_scripts.py", *where, "consume", "--count", 20)
    run("starling_scripts.py", *where, "produce", "--count", 20, "--pause", 0)
    assert consumer.check_good_end() == [f"got {number}" for number in range(1, 21)]


def test_a_distributed_logger_in_rubys_words_has_the_lines_of_all_servers(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.log"
    with (
        ServerProcess(tmp_path / "one") as one,
        ServerProcess(tmp_path / "two") as two,
    ):
        where = [word for each in (one, two) for word in ("--server", f"127.0.0.1:{each.port}")]
        writer = Example("starling_scripts.py", *where, "write", path, "--count", 4)
        for name in ("a", "b"):
            run("starling_scripts.py", *where, "log", name)
        writer.check_good_end()
    assert sorted(path.read_text().splitlines()) == [
        "a error: the work failed",
        "a info: begin",
        "b error: the work failed",
        "b info: begin",
    ]


def test_the_queues_are_shown_emptied_and_deleted_in_rubys_words(server: ServerProcess) -> None:
    where = ("--server", f"127.0.0.1:{server.port}")
    run("starling_scripts.py", *where, "produce", "--count", 2, "--pause", 0)
    run("starling_scripts.py", *where, "log", "a")
    assert run("starling_scripts.py", *where, "show") == [
        "['log', 'numbers']",
        "{'log': 2, 'numbers': 2}",
        "log 2",
        "{'program': 'a', 'level': 'info', 'text': 'begin'}",
        "{'program': 'a', 'level': 'error', 'text': 'the work failed'}",
        "numbers 2",
        "1",
        "2",
        f"127.0.0.1:{server.port} took 4 items",
    ]


def test_all_of_them_with_trio(server: ServerProcess) -> None:
    where = ("--server", f"127.0.0.1:{server.port}")
    assert run("starling_scripts_trio.py", *where, "--count", 3) == [
        "Hello, World!",
        "None",
        "got 1",
        "got 2",
        "got 3",
        "info begin",
        "{'hello': 0, 'left': 1, 'log': 0, 'numbers': 0}",
        "hello 0",
        "left 1",
        "over",
        "log 0",
        "numbers 0",
        "items: 0",
    ]
