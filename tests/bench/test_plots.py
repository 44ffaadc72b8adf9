"""The plots: a line for each server, and nothing that was not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from bench import plots
from bench.contest import SHAPE
from bench.plots import SWEEPS, draw, drawn, main, points, scenarios

if TYPE_CHECKING:
    from bench.contest import Row

SVG = "{http://www.w3.org/2000/svg}"


def row(sweep: str, number: int, server: str, rate: float) -> Row:
    shape: Row = {"queues": 1, "connections": 50, "depth": 1, "backlog": 0, sweep: number}
    about: Row = {"scenario": f"by-{sweep}-{number}", "server": server, "operation": "put"}
    return {**about, "ops_per_s": rate, **shape}


def test_each_scenario_differs_in_one_number() -> None:
    found = list(scenarios())
    assert len(found) == sum(map(len, SWEEPS.values()))
    for each in found:
        _, sweep, number = each.name.split("-")
        assert getattr(each, sweep) == int(number)
        usual = {"queues": 1, "connections": 50, "depth": 1, "backlog": 0}
        others = {name: getattr(each, name) for name in usual if name != sweep}
        assert others.items() <= usual.items()
    assert set(SWEEPS) <= set(SHAPE)


def test_what_was_measured_with_another_number_varied_is_left_out() -> None:
    rows = [
        row("queues", 20, "starling-50ms", 5.0),
        row("queues", 1, "starling-50ms", 9.0),
        row("connections", 1, "starling-50ms", 1.0),
        {
            **row("backlog", 1000, "starling-50ms", 1.0),
            "scenario": "by-backlog-1000-0",
            "backlog": 0,
        },
    ]
    assert points(rows, "queues", "put") == {"starling-50ms": [(1, 9.0), (20, 5.0)]}
    assert points(rows, "queues", "get") == {}
    assert points(rows, "backlog", "put") == {}


def test_a_plot_has_a_line_for_each_server() -> None:
    rows = [row("depth", 1, name, rate) for name, rate in (("memcached", 3.0), ("darner", 2.0))]
    root = ElementTree.fromstring(drawn(rows, "depth"))
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    assert {"memcached", "darner"} <= {each.text for each in root.iter(f"{SVG}text")}
    for rate in (0.5, 7, 1234, 99_999):
        ElementTree.fromstring(drawn([row("depth", 32, "darner", rate)], "depth"))


def test_the_pictures_stand_beside_the_figures(tmp_path: Path) -> None:
    data = tmp_path / "rates.json"
    data.write_text(json.dumps({"rows": [row("queues", 1, "memcached", 4.0)]}))
    draw(data)
    assert main(["--draw", "--data", str(data)]) == 0
    names = {path.name for path in tmp_path.glob("*.svg")}
    assert names == {f"rates-by-{sweep}.svg" for sweep in SWEEPS}


def test_it_measures_what_it_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "SERVERS", ("starling-50ms",))
    monkeypatch.setattr(
        plots,
        "SWEEPS",
        {"queues": (1, 3), "connections": (1, 2), "depth": (1, 2), "backlog": (0, 30_000)},
    )
    data = tmp_path / "rates.json"
    arguments = ["--rounds", "1", "--seconds", "0.02", "--data", str(data)]
    assert main([*arguments, "--directory", str(tmp_path)]) == 0
    rows = json.loads(data.read_text())["rows"]
    for sweep, numbers in plots.SWEEPS.items():
        for operation in plots.OPERATIONS:
            line = points(rows, sweep, operation)["starling-50ms"]
            assert [number for number, _ in line] == list(numbers)
