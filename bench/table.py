"""What a person reads: one table of all that was measured, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.servers import OURS
from bench.tally import BUSY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.contest import Row
    from bench.servers import Server

HEADINGS = (
    *("scenario", "op", "server", "ops/s", "min..max", "us/them", "p50", "p99", "p99.9", "max"),
    *("CPU", "them/us", "RSS", "B/op", "fsyncs", "load"),
)
WIDTHS = (10, 8, 17, 9, 17, 8, 8, 8, 8, 9, 7, 7, 6, 8, 8, 6)
LEGEND = """\
us/them: this server's rate divided by that one's, under the policy that promises about as much;
p50 to max: us of one batch, from its send to the last byte of its reply (in waiting: from the send
of a put to the item's delivery); CPU: us per operation, of the server; them/us: that one's CPU
divided by this server's; RSS: MB at most; B/op: bytes written to disk per operation; fsyncs: per
1,000 operations; load: how busy the load was, with a ! where it may have been the bottleneck;
visit, arrive: each operation is a connection, with CPU, B/op and fsyncs of the busy connections
too; p50 to max: of a visit, or from connecting until the last client has its first reply"""
SYNCS = 50


def line(cells: Sequence[str]) -> str:
    """Return one line: words to the left, figures to the right."""
    sides = ("<", "<", "<", *">" * (len(HEADINGS) - 3))
    formed = (f"{c:{s}{w}}" for c, s, w in zip(cells, sides, WIDTHS, strict=True))
    return " ".join(formed).rstrip()


def table(rows: Sequence[Row], peers: dict[str, str]) -> str:
    """Return all rows; `peers` are the policies of this server by the servers' names."""
    return "\n".join([line(HEADINGS), *(row_line(row, rows, peers) for row in rows)])


def row_line(row: Row, rows: Iterable[Row], peers: dict[str, str]) -> str:
    """Return the line of one row, with the ratio to this server's among `rows`."""
    first = [str(row[key]) for key in ("scenario", "operation", "server")]
    if "trouble" in row:
        return f"{line([*first, *[''] * (len(HEADINGS) - 3)])} {row['trouble']}"
    spread = f"{row['ops_per_s_min']:,.0f}..{row['ops_per_s_max']:,.0f}"
    ratio = us_to_them(row, rows, peers)
    cost = us_to_them(row, rows, peers, "server_cpu_per_op")
    busy = float(row["load_busy_share"])
    syncs = float(row["fsyncs_per_op"]) * 1000 if "fsyncs_per_op" in row else None
    cells = [
        f"{row['ops_per_s']:,.0f}",
        spread,
        "-" if ratio is None else f"{ratio:.2f}",
        *(f"{row[key]:,.0f}" for key in ("p50", "p99", "p99.9", "max")),
        f"{row['server_cpu_per_op']:.2f}",
        f"{1 / cost:.2f}" if cost else "-",
        f"{row['memory_mb']:.0f}",
        f"{row['bytes_written_per_op']:,.0f}",
        "-" if syncs is None else f"{syncs:,.3g}",
        f"{busy:.0%}{'!' if busy > BUSY else ' '}",
    ]
    return line([*first, *cells])


def us_to_them(
    row: Row, rows: Iterable[Row], peers: dict[str, str], figure: str = "ops_per_s"
) -> float | None:
    """Return a figure of this server in the same work divided by a row's, if both are known."""
    same = [r for r in rows if all(r[key] == row[key] for key in ("scenario", "operation"))]
    figures = {str(other["server"]): float(other[figure]) for other in same if figure in other}
    # One that never syncs is compared with one that does, if that is all there is.
    for policy in (peers[str(row["server"])], "50ms"):
        if f"{OURS}-{policy}" in figures and float(row[figure]):
            return figures[f"{OURS}-{policy}"] / float(row[figure])
    return None


def surroundings(directory: Path, servers: Sequence[Server], missing: dict[str, str]) -> str:
    """Return the machine, the versions, and who is missing."""
    asked = {server.family: server for server in servers}
    lines = [
        f"machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f} before",
        f"disk: {directory} ({file_system(directory)}), fdatasync {fdatasync_us(directory):.0f} us",
        *(f"{family}: {asked[family].says_version()}" for family in asked),
        *(f"{family}: MISSING, {why}" for family, why in missing.items()),
    ]
    return "\n".join(lines)


def processor() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = (text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    return next(named, platform.machine())


def file_system(directory: Path) -> str:
    """Return the type of the file system that a directory is on."""
    try:
        mounts = [text.split() for text in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    parents = {str(parent) for parent in (directory.resolve(), *directory.resolve().parents)}
    return max((len(m[1]), m[2]) for m in mounts if m[1] in parents)[1]


def fdatasync_us(directory: Path) -> float:
    """Return the median of the times that syncing 4 KiB takes."""
    times = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6
