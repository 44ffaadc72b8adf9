"""What the page can do: only what is an action, is confirmed, and is one command."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http import actions
from starling_py.http.actions import ActionRefused
from starling_py.http.messages import Request
from starling_py.http.talk import Reply


def command(**asked: object) -> bytes:
    return actions.read(json.dumps(asked).encode()).command


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"verb": "pause"}, b"pause jobs\r\n"),
        ({"verb": "pause", "seconds": 60}, b"pause jobs 60\r\n"),
        ({"verb": "resume"}, b"resume jobs\r\n"),
        ({"verb": "move", "to": "other%20".rstrip("%20"), "count": 5}, b"move jobs other 5\r\n"),
        ({"verb": "move", "to": "b%C3%BC"}, "move jobs b\u00fc\r\n".encode()),
        ({"verb": "move"}, b"move jobs origin\r\n"),
        ({"verb": "drop", "id": 7}, b"drop jobs 7\r\n"),
        ({"verb": "bury", "id": 7}, b"get jobs/bury=7\r\n"),
        ({"verb": "flush"}, b"flush jobs\r\n"),
        ({"verb": "delete"}, b"delete jobs\r\n"),
    ],
)
def test_each_action_is_a_command_of_the_protocol(
    asked: dict[str, object], expected: bytes
) -> None:
    assert command(queue="jobs", confirm="jobs", **asked) == expected


@pytest.mark.parametrize("verb", ["move", "drop", "flush", "delete"])
def test_what_destroys_is_confirmed_with_the_name(verb: str) -> None:
    for confirm in ({}, {"confirm": ""}, {"confirm": "job"}, {"confirm": "Jobs"}):
        with pytest.raises(ActionRefused, match="not confirmed"):
            command(verb=verb, queue="jobs", id=1, **confirm)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"verb": "shutdown"}, "no such action"),
        ({"verb": "flush_all"}, "no such action"),
        ({}, "no such action"),
        ({"verb": ["pause"]}, "no action"),
        ({"verb": "pause"}, "no queue is named"),
        ({"verb": "pause", "queue": "a%20b"}, "blanks"),
        ({"verb": "pause", "queue": "a%0D%0Aflush_all"}, "blanks"),
        ({"verb": "pause", "queue": "a/peek"}, "slashes"),
        ({"verb": "pause", "queue": "a" * 251}, "250 bytes"),
        ({"verb": "pause", "queue": "a", "seconds": "60"}, "no number"),
        ({"verb": "pause", "queue": "a", "seconds": -1}, "no number"),
        ({"verb": "pause", "queue": "a", "seconds": True}, "no action"),
        ({"verb": "drop", "queue": "a", "confirm": "a"}, "id is no number"),
        ({"verb": "drop", "queue": "a", "confirm": "a", "id": 1 << 63}, "id is no number"),
        ({"verb": "move", "queue": "a", "confirm": "a", "to": "b c"}, "blanks"),
        ({"verb": "move", "queue": "a", "confirm": "a", "to": "origin"}, "called origin"),
    ],
)
def test_what_is_no_action_is_refused(asked: dict[str, object], problem: str) -> None:
    with pytest.raises(ActionRefused, match=problem):
        command(**asked)


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.dictionaries(st.sampled_from(["verb", "queue", "to", "id", "confirm"]), inner),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_request_raises_anything_or_becomes_two_commands(body: bytes) -> None:
    try:
        made = actions.read(body)
    except ActionRefused:
        return
    assert made.command.count(b"\r\n") == 1


def test_every_action_is_in_the_audit_log_with_who_and_from_where(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = Request("POST", "/do", peer="10.1.2.3:4567")
    action = actions.read(b'{"verb": "flush", "queue": "jobs", "confirm": "jobs"}')
    with caplog.at_level(logging.INFO, "starling_py.audit"):
        answer = actions.told(request, "ops", action, [Reply(end="END")])
        assert (answer.status, answer.body) == (200, b'{"told": "END"}')
        answer = actions.told(request, "ops", action, [Reply(end="ERROR: pause not enabled")])
        assert answer.status == 409
        actions.refused(request, "ops", "it is not confirmed")
    assert [each.getMessage() for each in caplog.records] == [
        "10.1.2.3:4567 (page:ops): asked: flush jobs: END",
        "10.1.2.3:4567 (page:ops): asked: flush jobs: ERROR: pause not enabled",
        "10.1.2.3:4567 (page:ops): refused: it is not confirmed",
    ]
