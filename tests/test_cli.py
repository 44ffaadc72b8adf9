"""The command in the test's own process, as far as it starts nothing."""

from pathlib import Path

import pytest

from starling_py import cli


@pytest.mark.parametrize(
    ("sections", "extent"),
    [
        ("starling:", ""),
        ("queues: {a: {paused: true}}", ", 1 queue entry and 0 routes"),
        ("queues: {a: {}, b*: {}}\nroutes: {c: [d]}", ", 2 queue entries and 1 route"),
        ("routes: {c: [d], e: [f]}", ", 0 queue entries and 2 routes"),
    ],
)
def test_a_check_counts_queue_entries_and_routes_if_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sections: str, extent: str
) -> None:
    path = tmp_path / "conf.yml"
    path.write_text(f"{sections}\n")
    own = ["-q", str(tmp_path / "spool"), "-p", "0"]
    assert cli.main(["-f", str(path), *own, "--check-config"]) == 0
    assert capsys.readouterr().out == f"{path}: ok{extent}\n"


def test_a_check_tells_what_is_wrong_with_queues_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "conf.yml"
    path.write_text("queues:\n  jobs: {maxItems: 1}\n")
    assert cli.main(["-f", str(path), "--check-config"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"starling-py: {path}:2: queues.jobs.maxItems: unknown setting; did you mean 'max_items'?\n"
    )
