"""Micro-benchmarks and what CI judges: everything that has a bound is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import micro, quick
from bench.__main__ import main
from bench.process import cpu_seconds
from bench.servers import ours
from bench.targets import Ratio

if TYPE_CHECKING:
    from pathlib import Path


def test_every_part_is_measured_and_has_a_bound(tmp_path: Path) -> None:
    measured = list(micro.measure(tmp_path, 320, 1))
    assert {name for name, _, _ in measured} == quick.PARTS.keys()
    assert min(seconds for _, seconds, _ in measured) > 0
    assert not list(tmp_path.iterdir())


def test_every_cost_is_measured_and_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "ROUNDS", 1)
    # The clock of a process's CPU time goes in steps of 10 ms.
    monkeypatch.setattr(quick, "ITEMS", 5000)
    measured = list(quick.costs(ours(), None, tmp_path))
    assert len(measured) == sum(len(bounds) for _, _, bounds in quick.BOUNDS)
    assert all(ratio.value is not None and ratio.value > 0 for ratio in measured)
    assert not list(tmp_path.iterdir())


def test_every_wait_of_a_visitor_is_measured_and_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "ROUNDS", 1)
    monkeypatch.setattr(quick, "VISITS", 2)
    measured = list(quick.waits(ours(), None, tmp_path))
    assert len(measured) == sum(len(bounds) for _, bounds in quick.WAITS)
    assert all(ratio.value is not None and ratio.value > 0 for ratio in measured)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "code"), [(1.9, 0), (2.1, 1), (None, 1)])
def test_the_quick_form_fails_when_a_ratio_is_beyond_its_bound(
    value: float | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "RIGHT", ())
    monkeypatch.setattr(quick, "costs", lambda *_: [Ratio("a put", value, 2.0, at_most=True)])
    monkeypatch.setattr(quick, "waits", lambda *_: [])
    monkeypatch.setattr(quick, "parts", lambda _: [])
    assert main(["--quick", "--servers", "starling"]) == code


def test_the_time_of_a_process_that_is_not_known_is_none() -> None:
    assert cpu_seconds(None) == 0
    assert cpu_seconds(2**22 + 1) == 0
