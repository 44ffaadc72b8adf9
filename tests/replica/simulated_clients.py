"""Clients of a simulated group: each has one connection, and goes on elsewhere when it must."""

import asyncio

import attrs

from tests.replica.simulated_group import TAKEOVER, SimulatedGroup, Socket
from tests.replica.simulated_stream import Violation

PATIENCE = 12 * TAKEOVER


@attrs.define
class Client:
    """One connection to whichever member serves."""

    group: SimulatedGroup
    socket: Socket | None = None

    async def ask(self, command: bytes, end: bytes) -> bytes:
        """Return the reply; nothing if the connection ended before it came."""
        group = self.group
        if self.socket is None:
            members = [each for each in group.members if each.is_up]
            if not members:
                await asyncio.sleep(0.05)
                return b"SERVER_ERROR nobody is there\r\n"
            group.descriptors += 1
            sock = Socket(group.descriptors, group)
            refused = group.random.choice(members).connect(sock)
            if refused is not None:
                await asyncio.sleep(0.03)
                return refused or b"SERVER_ERROR it would wait\r\n"
            self.socket = sock
        sock = self.socket
        sock.incoming += command
        while True:
            sock.changed.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await sock.changed.wait()
            except TimeoutError:
                self.leave()
                return b""
            reply = bytes(sock.outgoing)
            if reply.endswith(end) or reply.startswith(b"SERVER_ERROR"):
                sock.outgoing.clear()
                group.check_told(sock, command, reply)
                if reply.startswith(b"SERVER_ERROR"):
                    self.leave()
                return reply
            if sock.closed:
                self.leave()
                return b""

    def leave(self) -> None:
        """End the connection."""
        if self.socket is not None and not self.socket.closed:
            self.socket.ended = True
        self.socket = None


async def produce(group: SimulatedGroup, number: int, queue: bytes) -> None:
    """Put numbered items one after the other, each once."""
    client, letter, at = Client(group), queue[:1], 0
    while not group.drains:
        item = b"%s%d.%05d" % (letter, number, at)
        at += 1
        size = group.random.choice((0, 0, 40, 300))
        data = item + b" " * size
        reply = await client.ask(b"set %s 0 0 %d\r\n%s\r\n" % (queue, len(data), data), b"\r\n")
        if reply == b"STORED\r\n":
            group.promises.stored.append(item)
        elif not reply:
            group.promises.given_up.add(item)
        if reply and reply != b"STORED\r\n":
            if not reply.startswith(b"SERVER_ERROR"):
                raise Violation(f"a put is answered {reply!r}")
            await asyncio.sleep(0.05)
        await asyncio.sleep(group.random.uniform(0, 0.03))


async def produce_once(group: SimulatedGroup, number: int) -> None:
    """Put items with tokens, each as often as it takes until it is stored."""
    client, at = Client(group), 0
    while not group.drains:
        item = b"o%d.%05d" % (number, at)
        command = b"set once/once=t%d.%d 0 0 %d\r\n%s\r\n" % (number, at, len(item), item)
        at += 1
        while await client.ask(command, b"\r\n") != b"STORED\r\n":
            await asyncio.sleep(0.05)
        group.promises.stored.append(item)
        await asyncio.sleep(group.random.uniform(0, 0.1))


async def consume(group: SimulatedGroup, queue: bytes) -> None:
    """Take items, and confirm each."""
    client, promises = Client(group), group.promises
    while not group.quiet:
        reply = await client.ask(b"get %s/open\r\n" % queue, b"END\r\n")
        item = item_of(reply)
        if item is None:
            await asyncio.sleep(0.02)
            continue
        promises.taken.append(item)
        if item in promises.confirmed:
            raise Violation(f"{item!r} comes again, and was confirmed")
        await asyncio.sleep(group.random.choice((0, 0, 0.05)))
        if await client.ask(b"get %s/close\r\n" % queue, b"END\r\n") == b"END\r\n":
            promises.confirmed.add(item)
        else:
            client.leave()


async def take(group: SimulatedGroup, queue: bytes) -> None:
    """Take items by plain gets."""
    client, promises = Client(group), group.promises
    while not group.quiet:
        reply = await client.ask(b"get %s\r\n" % queue, b"END\r\n")
        item = item_of(reply)
        if not reply:
            promises.unknown[queue] = promises.unknown.get(queue, 0) + 1
        if item is None:
            await asyncio.sleep(0.02)
            continue
        if item in promises.confirmed:
            raise Violation(f"{item!r} was given away twice")
        promises.taken.append(item)
        promises.confirmed.add(item)


async def look(group: SimulatedGroup) -> None:
    """Look at an empty queue again and again: that asks the stream nothing."""
    client = Client(group)
    while not group.quiet:
        await client.ask(b"get empty\r\n", b"END\r\n")
        await asyncio.sleep(0.1)


def item_of(reply: bytes) -> bytes | None:
    """Return the item of a reply, if it has one."""
    return reply.split(b"\r\n")[1].strip() if reply.startswith(b"VALUE") else None
