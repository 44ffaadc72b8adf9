"""The load script's own tests: a load that accepts a wrong reply would measure nothing."""

from __future__ import annotations

import json
import socket

import pytest

from bench.load import main, table
from bench.tally import Tally, percentile
from tests.bench.fake_queue import FakeQueue


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(value) for value in range(1, 201)]
    assert [percentile(ordered, percent) for percent in (0, 50, 99, 100)] == [1, 100, 198, 200]
    assert percentile([5.0], 99) == 5


def tally(load_cpu: float) -> Tally:
    made = Tally()
    made.rates = [3000.0, 1000.0, 1500.0]
    made.latencies = [0.002, 0.001, 0.009]
    made.operations, made.wall, made.server_cpu, made.load_cpu = 1000, 2.0, 0.02, load_cpu
    return made


def test_a_row_shows_the_median_the_spread_and_microseconds() -> None:
    row = tally(load_cpu=0.5).row()
    assert (row["ops_per_s"], row["ops_per_s_min"], row["ops_per_s_max"]) == (1500, 1000, 3000)
    assert (row["p50"], row["p99"], row["max"]) == pytest.approx((2000, 9000, 9000))
    assert row["server_cpu_per_op"] == pytest.approx(20)
    assert row["load_busy_share"] == pytest.approx(0.25)


def test_the_table_warns_only_when_the_load_was_busy() -> None:
    calm, busy = tally(load_cpu=0.5).row(), tally(load_cpu=1.9).row()
    shown = table({"put": calm, "get": calm})
    assert shown.splitlines()[1].split() == (
        ["put", "1,500", "1,000..3,000", "2,000", "9,000", "9,000", "20.00"]
    )
    assert "25% in put" in shown
    assert "bottleneck" not in shown
    assert "the load may be the bottleneck" in table({"put": calm, "get": busy})


def test_the_table_does_not_call_an_unmeasured_server_free() -> None:
    made = tally(load_cpu=0.5)
    made.server_cpu = 0.0
    assert "unknown" in table({"put": made.row()})


def test_the_command_prints_its_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeQueue() as fake:
        options = ["--port", str(fake.port), "--items", "200", "--rounds", "2"]
        assert main([*options, "--connections", "5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["options"]["items"] == 200
    assert shown["rows"]["put"]["ops_per_s"] > 0
    assert fake.popped == 400


@pytest.mark.parametrize(
    ("wrong", "after"),
    [
        (b"END\r\n", b""),
        (b"SERVER_ERROR out of luck\r\n", b""),
        (b"VALUE load 0 12\r\n00000000abcd\r\nEND\r\n", b""),
        (b"VALUE load 0 12\r\n00000002abcX\r\nEND\r\n", b""),
        (None, b"END\r\n"),
    ],
    ids=["a miss", "an error", "an item twice", "a changed byte", "a reply too many"],
)
def test_the_command_voids_a_run_with_one_wrong_reply(
    wrong: bytes | None, after: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeQueue(wrong, after) as queue:
        options = ["--port", str(queue.port), "--items", "50", "--size", "12", "--rounds", "1"]
        assert main([*options, "--connections", "2"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("load: void run: ")
    assert not printed.out


def test_a_refused_connection_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert main(["--port", str(port), "--connections", "1"]) == 1
    assert f"cannot connect to 127.0.0.1:{port}" in capsys.readouterr().err


def test_an_item_too_small_for_its_number_is_refused() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--size", "7"])
    assert stopped.value.code == 2
