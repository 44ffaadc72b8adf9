"""A line for what has changed, and none for what has not."""

import time

import pytest

from tests.core import Client
from tests.ctl.conftest import Ctl


@pytest.mark.patches
def test_only_what_changes_is_printed_again(
    client: Client, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctl("put", "jobs", "a")
    ctl("put", "mail", "a")
    monkeypatch.setattr(time, "sleep", lambda _: client.ask(b"set jobs 0 0 1\r\nx\r\n"))
    lines = ctl("watch", "--times", 3).lines()
    assert lines[0].split()[0] == "TIME"
    assert [line.split()[-1] for line in lines[1:]] == ["jobs", "mail", "jobs", "jobs"]
    assert [line.split()[1] for line in lines[1:]] == ["1", "1", "2", "3"]


@pytest.mark.patches
def test_a_queue_that_is_not_there_yet_is_waited_for(
    client: Client, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: client.ask(b"set jobs 0 0 1\r\nx\r\n"))
    told = ctl("watch", "jobs", "--times", 2, "--json").objects()
    assert [(each["queue"], each["items"], each["puts_per_second"]) for each in told] == [
        ("jobs", 1, 0.0)
    ]
