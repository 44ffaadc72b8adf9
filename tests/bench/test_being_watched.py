"""What it costs to be watched: each who watches is a real one, and the figures are the server's."""

import json
from pathlib import Path

import pytest

from bench import LoadError, watching
from bench.watching import Load, Trial, Watcher, lines, main


def test_each_who_watches_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "SETTLING", 0.1)
    figures = tmp_path / "figures.json"
    wanted = ["--queues", "300", "--busy", "3", "--seconds", "2", "--rounds", "1"]
    assert main([*wanted, "--json", str(figures)]) == 0
    rows = json.loads(figures.read_text())
    assert list(rows) == ["idle", "busy", "top", "page", "top and page", "metrics"]
    assert all(0 < row["share"] < 1 for row in rows.values())
    assert [name for name, row in rows.items() if not row["max_ms"]] == ["idle"]
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 + len(rows)
    assert shown[0].startswith("300 queues, 3 of them")


def test_a_watcher_who_is_told_nothing_makes_the_run_void(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLoad(Load):
        def __init__(self) -> None:
            self.waits = []

    monkeypatch.setattr(watching, "BEGINNING", 0.01)
    monkeypatch.setattr(watching, "LATE", 0.0)
    with pytest.raises(LoadError, match="told nothing"):
        Trial(0.01, 1, NoLoad()).phase([Watcher()], works=False)


def test_what_watching_costs_is_beyond_what_the_load_costs() -> None:
    busy = {"share": 0.10, "p99_ms": 1.0, "max_ms": 2.0}
    rows = {"idle": {**busy, "share": 0.004}, "busy": busy, "top": {**busy, "share": 0.115}}
    assert [line.split()[1:3] for line in list(lines(rows))[1:]] == [
        ["0.40%"],
        ["10.00%", "1.0"],
        ["11.50%", "1.50%"],
    ]
