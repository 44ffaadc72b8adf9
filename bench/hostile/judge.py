"""What a row may do: the innocent client's wait in CPU time, and memory where it has bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hostile.row import CPU_BOUND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hostile.row import Row
    from bench.hostile.trial import Outcome


def beyond(row: Row, outcome: Outcome, *, quick: bool, margin: float = 1.0) -> Iterator[str]:
    """Yield in words each bound of a row that was not kept.

    So many times the CPU time is allowed as `margin` says: where the machine has much else to do,
    the same work takes more of it.
    """
    if outcome.trouble:
        yield outcome.trouble
        return
    felt = outcome.attacked.worst_cpu
    allowed = CPU_BOUND * margin
    if felt > allowed:
        yield f"{felt * 1000:,.1f} ms of CPU before a reply, {allowed * 1000:.0f} are allowed"
    if row.peak is not None and outcome.peak - outcome.before > row.peak[quick]:
        more = outcome.peak - outcome.before
        yield f"{more:,.0f} MB more at its peak, {row.peak[quick]:.0f} are allowed"
    if row.stays is not None and outcome.after - outcome.before > row.stays:
        more = outcome.after - outcome.before
        yield f"{more:,.0f} MB stay, {row.stays:.0f} may"
