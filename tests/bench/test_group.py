"""A group is measured like a server alone: started by one command, and gone with all its parts."""

import time
from pathlib import Path

from bench.contest import Contender
from bench.process import own_cores
from bench.scenarios import Scenario
from bench.servers import group
from tests.process.server_process import wait_until_gone
from tests.replica.nats_cluster import command


def test_a_group_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    server = next(each for each in group(command()) if each.name == "group-50ms")
    contender = Contender(
        server, Scenario("base", connections=5), tmp_path / "home", time.perf_counter() + 120
    )
    contender.items = 100
    with own_cores() as core:
        contender.start(core)
        try:
            children = _children(contender._process.pid)
            contender.measure()
        finally:
            contender.close()
    assert len(children) == 3
    assert {name: tally.operations for name, tally in contender.tallies.items()} == {
        "put": 100,
        "get": 100,
    }
    for each in children:
        wait_until_gone(each)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]
