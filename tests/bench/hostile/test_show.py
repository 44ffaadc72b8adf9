"""All rows, the table, and what the command says and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.__main__ import main
from bench.hostile import show
from bench.hostile.row import ROWS
from tests.bench.hostile.foe import ordering, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.row import Row, Scene

PAGE = Path(__file__).parents[3] / "docs/performance.md"


def run(tmp_path: Path, *options: str) -> tuple[int, list[dict[str, object]]]:
    figures = tmp_path / "figures.json"
    code = main(
        ["--hostile", "--quick", *options, "--json", str(figures), "--directory", str(tmp_path)]
    )
    rows: list[dict[str, object]] = json.loads(figures.read_text())["rows"]
    return code, rows


def planted(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    monkeypatch.setattr(show, "ROWS", {row.name: row for row in rows})


def test_attacks_of_every_part_do_to_this_server_what_they_say(tmp_path: Path) -> None:
    names = "alone,unknown-binary,unknown-meta,opens-told,waiters-killed,bodies-left"
    _, rows = run(tmp_path, "--scenarios", names)
    assert [row["scenario"] for row in rows] == names.split(",")
    assert not [row["trouble"] for row in rows if "trouble" in row]
    assert all(float(str(row["attacked_worst_wait"])) > 0 for row in rows)
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_a_row_beyond_its_bounds_fails_the_command_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(monkeypatch, ordering(b"burn 500"), ordering(b"sleep 1"))
    foe = program(tmp_path).version[0]
    code, rows = run(tmp_path, "--before", foe, "--servers", "before")
    assert code == 1
    assert ["beyond" in row for row in rows] == [True, False]
    told = capsys.readouterr().out.partition("beyond the bounds:\n")[2]
    assert told.startswith("burn 500: before-50ms: ")
    assert told.count("\n") == 1


def test_all_rows_within_their_bounds_are_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, ordering(b"sleep 1"))
    foe = program(tmp_path).version[0]
    assert run(tmp_path, "--before", foe, "--servers", "before")[0] == 0


def first_time(orders: list[bytes]) -> Row:
    """Return a row that gives one order the first time, and another one each time after that."""
    row = ordering(b"sleep 1")

    def attack(scene: Scene) -> Iterator[None]:
        """Give an order."""
        client = scene.connect()
        yield
        client.check(orders.pop(0) + b"\r\n", b"OK\r\n")

    row.attack = attack
    return row


def test_a_row_that_is_tried_again_fails_if_it_is_beyond_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foe = ("--before", program(tmp_path).version[0], "--servers", "before", "--tries", "2")
    planted(monkeypatch, first_time([b"burn 500", b"sleep 1"]))
    assert run(tmp_path, *foe)[0] == 0
    assert capsys.readouterr().out.count("MISSED") == 1
    planted(monkeypatch, first_time([b"burn 500", b"burn 500"]))
    assert run(tmp_path, *foe)[0] == 1


def test_with_a_margin_so_many_times_the_time_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foe = ("--before", program(tmp_path).version[0], "--servers", "before")
    planted(monkeypatch, ordering(b"burn 500"))
    assert run(tmp_path, *foe, "--margin", "2")[0] == 1
    assert run(tmp_path, *foe, "--margin", "50")[0] == 0


def test_the_rows_behind_one_that_failed_have_a_fresh_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ordering(b"die"), ordering(b"sleep 1"), ordering(b"refuse"), ordering(b"sleep 2")]
    for row in rows:
        row.stage = "together"
    planted(monkeypatch, *rows)
    foe = program(tmp_path).version[0]
    _, figures = run(tmp_path, "--before", foe, "--servers", "before")
    assert ["trouble" in row for row in figures] == [True, False, True, False]


def test_a_server_that_does_not_start_fails_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch, ordering(b"sleep 1"), ordering(b"sleep 2"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    broken.chmod(0o755)
    code, rows = run(tmp_path, "--before", str(broken), "--servers", "before")
    assert code == 1
    assert ["no luck today" in str(row["trouble"]) for row in rows] == [True, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scenarios", "nothing"), "no row nothing; there are alone, "),
        (("--servers", "redis"), "no server redis; there are starling-50ms"),
    ],
)
def test_a_row_or_a_server_that_is_not_known_is_one_line(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--hostile", *options]) == 1
    assert said in capsys.readouterr().err


def test_settings_of_rows_on_one_server_do_not_contradict_each_other() -> None:
    for rows in show.stages(list(ROWS.values())):
        for part in ("server", "queues", "routes"):
            asked = [item for row in rows for item in getattr(row, part).items()]
            whole = dict(asked)
            assert all(whole[name] == value for name, value in asked), rows[0].stage


def test_the_page_on_performance_tells_what_every_row_does() -> None:
    page = PAGE.read_text()
    told = [f"| `{name}` | {row.text(quick=False)} |" for name, row in ROWS.items()]
    assert not [line for line in told if line not in page]
