"""The guard: it counts, logs now and then, and never makes things worse."""

import logging

import pytest

from starling_py.guard import APART, Guard


def catch(guard: Guard, what: str, problem: Exception | None = None) -> None:
    try:
        raise problem or ValueError("for the test")
    except Exception:
        guard.caught(what)


def test_what_is_caught_is_counted_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = Guard(lambda: 1.0)
    catch(guard, "a commit")
    assert guard.errors == 1
    assert "error in a commit; the server goes on" in caplog.text
    assert "ValueError: for the test" in caplog.text


def test_the_same_error_over_and_over_makes_a_line_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    guard = Guard(lambda: now)
    for _ in range(1000):
        catch(guard, "a commit")
    catch(guard, "a sync")
    assert guard.errors == 1001
    assert len(caplog.records) == 2, "another one is told of at once"
    assert "(999 more since the last line)" in caplog.text
    now = APART
    catch(guard, "a commit")
    assert len(caplog.records) == 3


def test_a_log_that_cannot_be_written_is_no_second_error() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise MemoryError

    handler, guard = Broken(), Guard()
    logging.getLogger().addHandler(handler)
    try:
        catch(guard, "a commit", MemoryError())
    finally:
        logging.getLogger().removeHandler(handler)
    assert guard.errors == 1
