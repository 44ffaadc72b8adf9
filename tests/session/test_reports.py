"""Questions about the server: what an answer costs."""

import gc
import sys
from types import FrameType

import pytest

from tests.core import Client, CoreHarness

QUESTIONS = (b"stats queue q7\r\n", b"dump_stats q7\r\n", b"me q7\r\n")


def calls_for(client: Client, question: bytes) -> int:
    """Return how many calls of Python functions an answer takes."""
    calls = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    gc.disable()  # Hypothesis has it call a function, which would count
    sys.setprofile(note)
    try:
        client.ask(question)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.mark.patches  # what is compiled is called without the profiler
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_numbers_of_a_queue_cost_the_same_beside_others(
    core: CoreHarness, client: Client, question: bytes
) -> None:
    calls = []
    for count in (10, 500):
        for number in range(count):
            client.ask(b"set q%d 0 0 1\r\nx\r\n" % number)
        assert b"items" in client.ask(question)
        calls.append(calls_for(client, question))
    assert calls[0] == calls[1]
