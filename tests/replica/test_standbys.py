"""What other servers say of themselves counts for a while, and only if they have everything."""

import pytest

from starling_py.replica.standbys import BEHIND, Report, Standbys

TAKEOVER = 2.0


def said(node: str, sequence: int = 100, *, whole: bool = True) -> bytes:
    return Report(node, f"{node}:22122", sequence, whole).encode()


def test_who_has_everything_is_ready_until_nothing_is_heard_of_it() -> None:
    standbys = Standbys(TAKEOVER)
    assert standbys.ready(10.0) == []
    standbys.hear([said("two"), said("one")], 10.0, 100)
    assert standbys.ready(10.0 + TAKEOVER) == ["one:22122", "two:22122"]
    standbys.hear([said("two")], 11.0, 100)
    assert standbys.ready(10.1 + TAKEOVER) == ["two:22122"]
    assert standbys.ready(11.1 + TAKEOVER) == []


def test_who_is_far_behind_builds_or_has_ended_is_not_ready() -> None:
    standbys = Standbys(TAKEOVER)
    standbys.hear([said("far")], 0.0, 101 + BEHIND)
    standbys.hear([said("builds", whole=False)], 0.0, 100)
    assert standbys.ready(0.0) == []
    standbys.hear([said("ended"), said("ended", whole=False)], 0.0, 100)
    assert standbys.ready(0.0) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"node": 1}', b"17"])
def test_what_is_no_report_is_passed_over(data: bytes) -> None:
    standbys = Standbys(TAKEOVER)
    standbys.hear([data, said("one")], 0.0, 100)
    assert standbys.ready(0.0) == ["one:22122"]
