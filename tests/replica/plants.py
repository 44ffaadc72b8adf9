"""Defects of a group on purpose: each breaks a promise, and the simulated group must notice it."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

import attrs
import pytest

from starling_py.journal.disk.files import Files
from starling_py.replica.follower import Follower
from starling_py.replica.link import Link
from starling_py.replica.outbox import Message, Outbox
from starling_py.replica.owner import Owner
from starling_py.replica.position import FOLLOWS, OWNS, Position, PositionFile
from starling_py.replica.shipped_files import ShippedFiles
from starling_py.replica.stream_ledger import StreamLedger
from tests.replica.simulated_stream import SimulatedStream

Plant = Callable[[pytest.MonkeyPatch], None]


def follower_skips_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one message in twenty have no effect on a follower."""
    original = Follower.apply

    def apply(self: Follower, sequence: int, data: bytes) -> None:
        if self.position.number % 20 == 19 and self.whole:
            self._pass(sequence, self.position.number + 1)
        else:
            original(self, sequence, data)

    monkeypatch.setattr(Follower, "apply", apply)


def position_goes_ahead_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note that a message was applied before it is."""
    original = Follower.apply

    def apply(self: Follower, sequence: int, data: bytes) -> None:
        before = self.position
        if self.whole:
            self._note(attrs.evolve(before, sequence=sequence, number=before.number + 1))
            self.position = before
        original(self, sequence, data)

    monkeypatch.setattr(Follower, "apply", apply)


def files_of_an_owner_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who was the owner go on with its files, which are ahead of the stream."""
    original = PositionFile.write

    def write(self: PositionFile, position: Position) -> None:
        if position.state == OWNS:
            position = attrs.evolve(position, state=FOLLOWS)
        original(self, position)

    monkeypatch.setattr(PositionFile, "write", write)


def unfinished_node_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for whole that are being built."""
    monkeypatch.setattr(Follower, "whole", True)


def owner_answers_before_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a message for answered when it is sent."""
    original = Outbox.take

    def take(self: Outbox, *, all_of_it: bool = False) -> Message | None:
        message = original(self, all_of_it=all_of_it)
        if message is not None:
            self.answer(message)
        return message

    monkeypatch.setattr(Outbox, "take", take)


def refusal_is_taken_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the stream has refused for stored."""

    async def look_for(self: Owner, ids: Sequence[str]) -> int:
        return len(ids)

    monkeypatch.setattr(Owner, "_look_for", look_for)


def takeover_expects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a claim succeed whatever the last message is."""
    original = SimulatedStream.append

    def append(
        self: SimulatedStream, kind: str, data: bytes, message_id: str, expected: int
    ) -> int:
        expected = self.last if ".claim." in message_id else expected
        return original(self, kind, data, message_id, expected)

    monkeypatch.setattr(SimulatedStream, "append", append)


def owner_expects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an owner append behind whatever there is."""
    original = SimulatedStream.append

    def append(
        self: SimulatedStream, kind: str, data: bytes, message_id: str, expected: int
    ) -> int:
        expected = self.last if ".claim." not in message_id else expected
        return original(self, kind, data, message_id, expected)

    monkeypatch.setattr(SimulatedStream, "append", append)


def resends_with_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each message another id each time that it is sent."""
    original, numbers = SimulatedStream.append, count()

    def append(
        self: SimulatedStream, kind: str, data: bytes, message_id: str, expected: int
    ) -> int:
        return original(self, kind, data, f"{message_id}.{next(numbers)}", expected)

    monkeypatch.setattr(SimulatedStream, "append", append)


def stale_owner_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an owner without an answer keep its clients."""
    monkeypatch.setattr(Link, "is_stalled", False)
    monkeypatch.setattr(Link, "is_late", False)


def reclaims_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop the first messages that are needed."""
    original = StreamLedger.first_needed

    def first_needed(self: StreamLedger, last: int) -> int:
        return min(original(self, last) + 5, last)

    monkeypatch.setattr(StreamLedger, "first_needed", first_needed)


def never_reclaims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all that is dead in the stream."""

    async def reclaim(self: Owner) -> None:
        self._reclaim_at = self._now() + 2.0

    monkeypatch.setattr(Owner, "_reclaim", reclaim)


def tells_half_of_a_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the last bytes of a file that is told again."""
    original = ShippedFiles._told_size

    def told_size(self: ShippedFiles, path: str) -> int:
        return max(original(self, path) - 20, 0)

    monkeypatch.setattr(ShippedFiles, "_told_size", told_size)


def owner_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is reclaimed take the word of who owns the stream with it."""
    original = Owner._reclaim

    async def reclaim(self: Owner) -> None:
        async def say(_: object) -> None:
            pass

        self._say = say  # type: ignore[method-assign, assignment]
        try:
            await original(self)
        finally:
            del self._say

    monkeypatch.setattr(Owner, "_reclaim", reclaim)


def place_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who is stopped before it has started note that it is at the beginning."""
    original = Follower.stop

    def stop(self: Follower, sequence: int, number: int) -> None:
        self._has_started = True
        original(self, sequence, number)

    monkeypatch.setattr(Follower, "stop", stop)


class _Unsynced:
    """Files that no sync makes safe."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass


def new_position_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a new node's position to a power cut."""
    original = PositionFile.write

    def write(self: PositionFile, position: Position) -> None:
        files, self._files = self._files, cast(Files, _Unsynced(self._files))
        original(self, position)
        self._files = files

    monkeypatch.setattr(PositionFile, "write", write)


PLANTS: Sequence[Plant] = (
    place_is_forgotten,
    new_position_is_not_safe,
    follower_skips_a_message,
    position_goes_ahead_of_the_files,
    files_of_an_owner_are_trusted,
    unfinished_node_takes_over,
    owner_answers_before_the_stream,
    refusal_is_taken_for_an_answer,
    takeover_expects_nothing,
    owner_expects_nothing,
    resends_with_another_id,
    stale_owner_goes_on,
    reclaims_too_early,
    never_reclaims,
    tells_half_of_a_file_again,
    owner_is_forgotten,
)
