"""``starling-journal stats``: the figures are those of the files and of the server."""

import json
from pathlib import Path

from tests.offline.journals import (
    Command,
    check_put,
    flip,
    make_spool,
    open_core,
    segments,
    take,
)


def figures(run: Command, path: Path) -> dict[str, dict[str, int]]:
    """Return the figures of each queue, and the total."""
    told = run("stats", "--json", path)
    value = json.loads("\n".join(told.out))
    return {each.pop("queue"): each for each in (*value["queues"], value["total"])}


def test_the_figures_are_right(tmp_path: Path, run: Command) -> None:
    spool = tmp_path / "spool"
    core = open_core(spool)
    check_put(core, 40)
    core.clock.advance(3600)
    check_put(core, 2, b"Mail")
    take(core, 9)
    check_put(core, 1, b"drained")
    take(core, 1, b"drained")
    core.close()
    found = figures(run, spool)
    assert list(found) == ["Mail", "drained", "jobs", "total"]
    jobs = found["jobs"]
    data = sum(len(b"item %d" % number) for number in range(10, 41))
    disk = sum(each.stat().st_size for each in segments(spool / "jobs"))
    age_ms = jobs.pop("age_ms")
    assert jobs == {
        "items": 31,
        "bytes": data,
        "delivered": 0,
        "next_id": 41,
        "segments": len(segments(spool / "jobs")),
        "disk_bytes": disk,
        "live_bytes": data + 31 * 37,
        "dead_bytes": disk - data - 31 * 37,
    }
    assert age_ms - found["Mail"]["age_ms"] >= 3_600_000 - 60_000
    assert found["drained"]["age_ms"] is None
    assert found["drained"]["next_id"] == 2
    total = found["total"]
    assert (total["items"], total["age_ms"] >= age_ms) == (33, True)
    assert total["disk_bytes"] == sum(
        each.stat().st_size for each in spool.rglob("*.segment") if each.is_file()
    )


def test_the_table_has_a_line_for_each_queue(tmp_path: Path, run: Command) -> None:
    directory = make_spool(tmp_path / "spool", items=3)
    told = run("stats", tmp_path / "spool")
    title, jobs, total = [line.split() for line in told.out]
    assert " ".join(title) == "ITEMS BYTES DELIVERED NEXT ID SEGMENTS DISK LIVE DEAD AGE QUEUE"
    size = segments(directory)[0].stat().st_size
    live = 3 * (37 + 6)
    assert jobs[:8] == ["3", "18", "0", "4", "1", str(size), str(live), str(size - live)]
    assert (jobs[9], total[:4], total[9]) == ("jobs", ["3", "18", "0", "-"], "total")
    assert (told.status, told.err) == (0, [])
    assert run("stats", directory).out[1].split()[9] == "jobs"


def test_a_damaged_queue_is_told_and_the_others_are_measured(tmp_path: Path, run: Command) -> None:
    spool = tmp_path / "spool"
    directory = make_spool(spool)
    make_spool(spool, 2, queue=b"other")
    flip(segments(directory)[-1], 60)
    told = run("stats", spool)
    assert told.err[0].startswith(f"starling-journal: {segments(directory)[-1]}: damaged at byte")
    assert [line.split()[-1] for line in told.out] == ["QUEUE", "other", "total"]
    assert told.status == 1


def test_an_empty_spool_has_a_total_of_nothing(tmp_path: Path, run: Command) -> None:
    open_core(tmp_path / "spool").close()
    told = run("stats", tmp_path / "spool")
    assert told.out[1].split() == ["0", "0", "0", "-", "0", "0", "0", "0", "-", "total"]
    assert told.status == 0


def test_a_spool_in_use_is_measured_with_a_warning(tmp_path: Path, run: Command) -> None:
    core = open_core(tmp_path / "spool")
    check_put(core, 2)
    told = run("stats", tmp_path / "spool")
    assert told.err == [
        f"starling-journal: {tmp_path}/spool: a server is using this spool; the figures may be"
        " moving"
    ]
    assert (told.status, told.out[1].split()[0]) == (0, "2")
    core.close()
