"""The command: real servers, tiny rounds, and servers that answer wrongly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.__main__ import main
from bench.dialects import Text, Way
from bench.scenarios import SCENARIOS
from bench.servers import find
from tests.bench.fake_queue import program

if TYPE_CHECKING:
    from pathlib import Path

    from bench.servers import Server

    Row = dict[str, object]

TINY = ("--rounds", "1", "--seconds", "0.001", "--connections", "12")
FOUND, MISSING = find({})
OTHERS = [server for server in FOUND if not server.is_ours]


def run(tmp_path: Path, *options: str) -> tuple[int, list[Row]]:
    figures = tmp_path / "figures.json"
    code = main([*TINY, *options, "--json", str(figures), "--directory", str(tmp_path)])
    rows: list[Row] = json.loads(figures.read_text())["rows"]
    return code, rows


def test_every_scenario_is_right_with_this_server(tmp_path: Path) -> None:
    code, rows = run(tmp_path, "--servers", "starling-50ms")
    assert code == 0
    assert not [row for row in rows if "trouble" in row]
    controls = {each.control.name for each in SCENARIOS if each.control is not None}
    assert {row["scenario"] for row in rows} == {each.name for each in SCENARIOS} | controls
    for row in rows:
        assert float(str(row["ops_per_s"])) > 0
        assert float(str(row["server_cpu_per_op"])) > 0


@pytest.mark.parametrize("server", OTHERS, ids=lambda server: server.name)
def test_every_server_that_is_here_is_right(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    syncs = server.peer == "always"
    kinds = "base,mixed" if syncs else "base,pipelined,mixed,waiting,reliable,queues-20,connections"
    code, rows = run(tmp_path, "--servers", server.name, "--scenarios", kinds)
    assert code == 0
    assert {row["scenario"] for row in rows if "ops_per_s" in row} >= {"base", "mixed"}
    # Whoever is not here is named, not passed over.
    shown = capsys.readouterr().out
    assert all(f"{name}: MISSING" in shown for name in MISSING)


def test_a_backlog_is_taken_first(tmp_path: Path) -> None:
    # More than the rounds take: beyond it, items of several connections come in no certain order.
    options = ("--servers", "starling-never", "--scenarios", "deep", "--backlog", "50000")
    code, rows = run(tmp_path, *options)
    assert code == 0
    works = [(row["scenario"], row["operation"]) for row in rows]
    assert works == [("deep-0", "put"), ("deep-0", "get"), ("deep", "put"), ("deep", "get")]


def test_a_server_that_answers_wrongly_is_void_and_the_others_are_measured(tmp_path: Path) -> None:
    get = Text().get(b"q0000", 1024, 0, Way.POP)
    wrong = program(tmp_path, get.head + b"00000000" + get.tail)
    options = ("--ruby", str(wrong), "--servers", "ruby,starling-never", "--scenarios", "base")
    code, rows = run(tmp_path, *options)
    assert code == 1
    assert [row["operation"] for row in rows if row["server"] == "starling-never"] == ["put", "get"]
    (void,) = (row for row in rows if row["server"] == "ruby")
    assert str(void["trouble"]).startswith("void run: items came back wrong: ")


def test_a_server_that_answers_rightly_is_not_void(tmp_path: Path) -> None:
    options = ("--ruby", str(program(tmp_path, None)), "--servers", "ruby", "--scenarios", "base")
    assert run(tmp_path, *options)[0] == 0


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    broken.chmod(0o755)
    options = ("--ruby", str(broken), "--servers", "ruby", "--scenarios", "base")
    code, rows = run(tmp_path, *options)
    assert code == 1
    assert "no luck today" in str(rows[0]["trouble"])


def test_what_a_server_cannot_do_is_named_and_no_failure(tmp_path: Path) -> None:
    options = ("--ruby", str(program(tmp_path, None)), "--servers", "ruby")
    code, rows = run(tmp_path, *options, "--scenarios", "reliable")
    assert code == 0
    assert rows[0]["trouble"] == "has no reliable get"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--servers", "nobody"), "no server nobody"),
        (("--scenarios", "nothing"), "no scenario nothing"),
        (("--scenarios", "deep"), "deep needs --backlog N"),
    ],
)
def test_a_name_that_is_not_known_is_one_line(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 1
    assert said in capsys.readouterr().err


def test_the_shape_of_a_scenario_can_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ("--connections", "2", "--depth", "3", "--size", "9")
    options = ("--servers", "starling-never", "--scenarios", "mixed,fan-out", *shape)
    code, rows = run(tmp_path, *options)
    assert code == 0
    assert "mixed: 2 connections, 3 in flight, 9 B;" in capsys.readouterr().out
    assert rows[-1]["trouble"] == "needs 10 connections"
    with pytest.raises(SystemExit):
        main(["--size", "7"])


def test_nothing_is_left_in_the_directory(tmp_path: Path) -> None:
    run(tmp_path, "--servers", "starling-never", "--scenarios", "base")
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
