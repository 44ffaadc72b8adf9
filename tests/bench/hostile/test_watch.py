"""A process as it is looked at from outside."""

from __future__ import annotations

import os
import threading
import time

from bench.hostile.watch import MainThread, forget_peak, memory, peak, schedule

BURNT = 0.2  # seconds


def burn() -> None:
    end = time.thread_time() + BURNT
    while time.thread_time() < end:
        pass


def test_the_time_of_the_main_thread_is_counted() -> None:
    thread = MainThread(os.getpid())
    before, used = thread.read(), time.thread_time_ns()
    burn()
    after = thread.read()
    assert after - before >= BURNT * 1e9 * 0.9
    assert used > 0


def test_the_time_of_other_threads_is_not_even_when_they_have_ended() -> None:
    thread = MainThread(os.getpid())
    resting, ending = threading.Event(), threading.Event()

    def other() -> None:
        burn()
        resting.set()
        ending.wait()

    before = thread.read()
    worker = threading.Thread(target=other)
    worker.start()
    resting.wait()
    # The kernel is exact about a thread that rests.
    while not ending.is_set():
        here = thread.read()
        if here - before < BURNT * 1e9 / 2:
            ending.set()
    worker.join()
    assert thread.read() - before < BURNT * 1e9 / 2


def test_waiting_for_a_processor_is_told_beside_the_time_on_one() -> None:
    used, waited = schedule("/proc/self/schedstat")
    burn()
    later, _ = schedule("/proc/self/schedstat")
    assert later > used
    assert waited >= 0


def test_the_peak_of_memory_can_be_forgotten() -> None:
    big = bytearray(b"b" * 100_000_000)
    held = memory(os.getpid())
    assert held > 100
    del big
    assert peak(os.getpid()) >= held
    forget_peak(os.getpid())
    assert peak(os.getpid()) < held
