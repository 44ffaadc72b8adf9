"""The same methods for trio: each call runs in a thread, one at a time."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import trio

from starling_py.client.queue_commands import Consumer, QueueItem
from starling_py.client.servers import Answer
from starling_py.client.starling import NOTHING, Starling


class AsyncStarling:
    """Ruby's methods for trio: each call runs in a thread, one at a time."""

    def __init__(
        self,
        servers: str | Iterable[str] = "127.0.0.1",
        *,
        timeout: float = 5,
        name: str | None = None,
    ) -> None:
        """Take the same arguments as ``Starling``."""
        self._starling = Starling(servers, timeout=timeout, name=name)
        self._one_at_a_time = trio.Lock()

    async def set(
        self,
        queue: str,
        value: object,
        expiry: int = 0,
        raw: bool = False,
        *,
        once: str | None = None,
    ) -> None:
        """Put a value at the end of a queue, as ``Starling.set``."""
        await self._run(lambda: self._starling.set(queue, value, expiry, raw, once=once))

    async def get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ANN401, ASYNC109 - Ruby's
        """Take the oldest value of a queue; wait until there is one, as ``Starling.get``.

        It can be cancelled between two waits of ``WAIT_TIME``, and no value is lost by that.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            value = await self._run(lambda: self._starling.wait_once(queue, end))
            if value is not NOTHING:
                return value

    async def first(self, queues: Iterable[str], timeout: float = 0) -> tuple[str, Any] | None:  # noqa: ASYNC109 - as Starling.first
        """Take one value from the first of these queues that has one, as ``Starling.first``.

        While it waits, it cannot be cancelled.
        """
        names = list(queues)
        return await self._run(lambda: self._starling.first(names, timeout))

    async def fetch(self, queue: str) -> Any:  # noqa: ANN401 - any value
        """Take the oldest value of a queue; ``None`` if there is none."""
        return await self._run(lambda: self._starling.fetch(queue))

    async def flush(self, queue: str, callback: Callable[[Any], object] | None = None) -> int:
        """Take everything out of a queue, as ``Starling.flush``; the callback is a plain function.

        When it is cancelled, what was taken out has been handed over, and the rest is still there.
        """
        count = 0
        values = self._starling.taken_out(queue)
        while (value := await self._run(lambda: next(values, NOTHING))) is not NOTHING:
            count += 1
            if callback is not None:
                callback(value)
        return count

    async def delete(self, queue: str) -> bool:
        """Delete a queue on every server; return whether any had it."""
        return await self._run(lambda: self._starling.delete(queue))

    async def sizeof(self, queue: str | None = None) -> Any:  # noqa: ANN401 - as Starling.sizeof
        """Return how many items a queue has, or all queues, as ``Starling.sizeof``."""
        return await self._run(lambda: self._starling.sizeof(queue))

    async def available_queues(self) -> list[str]:
        """Return the names of all queues, in order."""
        return await self._run(self._starling.available_queues)

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of every server that is alive."""
        return await self._run(self._starling.stats)

    async def pause(self, queue: str, seconds: int | None = None) -> bool:
        """Let gets of a queue find nothing, as ``Starling.pause``."""
        return await self._run(lambda: self._starling.pause(queue, seconds))

    async def resume(self, queue: str) -> bool:
        """End a pause; return whether any server has the queue."""
        return await self._run(lambda: self._starling.resume(queue))

    async def drop(self, queue: str, item_id: int) -> bool:
        """Remove the item with an id that waits; return whether there was one."""
        return await self._run(lambda: self._starling.drop(queue, item_id))

    async def move(self, queue: str, target: str | None = None, count: int | None = None) -> int:
        """Move the oldest items that wait to another queue, as ``Starling.move``."""
        return await self._run(lambda: self._starling.move(queue, target, count))

    async def browse(self, queue: str, first: int = 1, count: int = 100) -> list[QueueItem]:
        """List items, and take none, as ``Starling.browse``."""
        return await self._run(lambda: self._starling.browse(queue, first, count))

    async def consumers(self, queue: str) -> list[Consumer]:
        """List who takes from a queue, waits for it, or has items of it open."""
        return await self._run(lambda: self._starling.consumers(queue))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._run(self._starling.close)

    async def _run(self, what: Callable[[], Answer]) -> Answer:
        async with self._one_at_a_time:
            # Not abandoned when cancelled: what a get has taken must not be dropped unseen.
            return await trio.to_thread.run_sync(what)
