"""``starling-journal`` on a spool whose server lost its power, so that the log counts."""

from pathlib import Path

from starling_py.journal.log.log import NAMES
from tests.journal.log.test_log import QUEUES
from tests.journal.log.test_replay import left_by_a_power_cut
from tests.journal.simulated_disk import SimulatedDisk
from tests.journal.spool_harness import SPOOL
from tests.offline.journals import Command, drain


def written_out(disk: SimulatedDisk, spool: Path) -> Path:
    """Write the spool of a simulated disk to a real one."""
    for path, content in disk.contents(SPOOL).items():
        place = spool / path.removeprefix(f"{SPOOL}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return spool


def contents(spool: Path) -> dict[Path, bytes]:
    """Return every file with its bytes."""
    return {path: path.read_bytes() for path in spool.rglob("*") if path.is_file()}


def test_the_commands_tell_what_a_start_would_find(tmp_path: Path, run: Command) -> None:
    spool = written_out(left_by_a_power_cut(), tmp_path / "spool")
    before = contents(spool)
    verified, counted = run("verify", spool), run("stats", spool, "--json")
    dumped = run("dump", "--live", spool / "q00")
    assert verified.status == counted.status == dumped.status == 0
    assert [line for line in verified.out if "3 items" in line and "sound" in line]
    assert "what it tells counts" in verified.err[0]
    assert "\n".join(counted.out).count('"items": 3,') == 3
    assert len(dumped.out) == 3
    assert "data=third" in dumped.out[-1]
    assert contents(spool) == before
    assert drain(spool, QUEUES[0]) == [b"first", b"first", b"third"]


def test_flatten_writes_the_log_back_and_removes_it(tmp_path: Path, run: Command) -> None:
    spool = written_out(left_by_a_power_cut(), tmp_path / "spool")
    told = run("flatten", spool)
    assert (told.status, told.out) == (0, ["3 queues written back from the log"])
    assert not [name for name in NAMES if (spool / name).exists()]
    for name in QUEUES[:3]:
        assert drain(spool, name) == [b"first", b"first", b"third"]
    assert run("flatten", spool).out == ["0 queues written back from the log"]


def test_flatten_keeps_a_log_that_it_cannot_write_back(tmp_path: Path, run: Command) -> None:
    spool = written_out(left_by_a_power_cut(), tmp_path / "spool")
    segment = spool / "q01" / "0000000000000001.segment"
    segment.write_bytes(segment.read_bytes()[:-5])
    told = run("flatten", spool)
    assert told.status == 1
    assert "q01" in told.out[0]
    assert "the log is kept" in told.out[-1]
    assert any((spool / name).exists() for name in NAMES)


def test_flatten_is_for_spools_that_nobody_uses(tmp_path: Path, run: Command) -> None:
    disk = left_by_a_power_cut()
    spool = written_out(disk, tmp_path / "spool")
    assert run("flatten", spool / "q00").status == 2
    assert run("flatten", tmp_path / "nowhere").status == 2


def test_a_damaged_log_is_told_of_as_a_start_would(tmp_path: Path, run: Command) -> None:
    spool = written_out(left_by_a_power_cut(), tmp_path / "spool")
    for name in NAMES:
        content = (spool / name).read_bytes()
        (spool / name).write_bytes(b"?" + content[1:])
    for command in ("verify", "stats", "flatten"):
        told = run(command, spool)
        assert told.status == 2
        assert "the header of the log is not sound" in told.err[0]
