"""The stream in NATS JetStream: the only module that knows of NATS.

All calls are made in the thread of the link, in its event loop. What NATS answers is judged here: a
server that is too old, a stream that is not ours, one with too few replicas are refused. Everything
that may be over by itself (no server, no majority, no answer in time) is ``NotAnsweredError``.
"""

import asyncio
import contextlib
import json
import logging
import os
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import attrs
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from starling_py.journal.disk.files import Files
from starling_py.replica import operations
from starling_py.replica.nats_servers import Seen, look_at
from starling_py.replica.stream import (
    OWNER,
    ClusterError,
    Entry,
    NotAnsweredError,
    NotLastError,
    State,
)

log = logging.getLogger(__name__)

_NOT_FOUND: Final = frozenset({10037, 10059})
"""NATS's numbers for a message and a stream that are not there."""
_NOT_LAST: Final = frozenset({10071, 10164})
_WRONG: Final = {
    10065: "another stream has subjects of this one; name another one with 'stream'",
    10074: "more than one replica needs a cluster of NATS servers, or 'replicas: 1'",
    10039: "JetStream is not enabled for this account",
}
"""What time does not cure."""
_READS: Final = 64
"""Messages that are read at once."""
_HEARD: Final = 64
"""Reports of other servers that are kept until they are asked for."""
_UNSAFE: Final = (
    "a power cut of all machines at once loses everything unless each has sync_interval: always, as"
    " NATS syncs every two minutes otherwise (docs/cluster.md)"
)
_ABOUT: Final = "log of starling-py; do not write to it"


@attrs.frozen
class Cluster:
    """What is told of the NATS servers by the settings."""

    servers: tuple[str, ...]
    stream: str
    replicas: int
    takeover: float
    """In seconds; decides for how long an answer is waited."""
    credentials: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    monitoring: int | None = None
    """The port of their monitoring, where they tell whether they sync."""
    always: bool = False
    """Whether what clients are told must survive a power cut of all."""

    def tls(self) -> ssl.SSLContext | None:
        """Return how the servers are trusted, if that is told. Raises ``ClusterError``."""
        if self.ca is None and self.cert is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            files = ", ".join(filter(None, (self.ca, self.cert, self.key)))
            raise ClusterError(f"{files}: {error.strerror or error}") from error
        return context

    def login(self) -> dict[str, str]:
        """Return how it says who it is, for the client library. Raises ``ClusterError``."""
        path = self.credentials
        if path is None:
            return {}
        try:
            text = Files().read(path).decode("ascii", "replace")
        except OSError as error:
            raise ClusterError(f"{path}: {error.strerror}") from error
        try:
            import nkeys

            if "BEGIN NATS USER JWT" in text:
                return {"user_credentials": path}
            nkeys.from_seed(bytearray(text.strip().encode()))
        except ImportError as error:
            raise ClusterError(f"{path} needs the package nkeys ({error})") from error
        except Exception as error:
            raise ClusterError(f"{path}: neither credentials nor the seed of an nkey") from error
        return {"nkeys_seed": path}


class NatsStream:
    """One stream of one cluster; see ``stream.Stream``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._name = cluster.stream
        self._patience = max(cluster.takeover / 2, 0.5)
        self._client = Client()
        self._context: JetStreamContext | None = None
        self._reader: JetStreamContext.PullSubscription | None = None
        self._read_to = -1
        self._heard: deque[bytes] = deque(maxlen=_HEARD)
        self.id = b""

    async def open(self) -> None:
        """Connect, and find the stream or make it.

        Raises ``NotAnsweredError``, and ``ClusterError`` if it must not be used.
        """
        await self._look_at_servers()
        await self._connect()
        info = await self._api(f"STREAM.INFO.{self._name}", {})
        if info is None:
            info = await self._make()
        self._judge(info["config"])

    async def look(self) -> str:
        """Return what is there, in words, and change nothing; raises as ``open``."""
        seen = await self._look_at_servers()
        await self._connect()
        info = await self._api(f"STREAM.INFO.{self._name}", {})
        there = [each for each in seen if each.version]
        told = f"{len(there)} of {len(seen)} NATS servers answer"
        if info is None:
            return f"{told}; stream {self._name} is not there yet"
        self._judge(info["config"])
        replicas, last = info["config"]["num_replicas"], info["state"]["last_seq"]
        return f"{told}; stream {self._name} has {replicas} replicas, {last} messages so far"

    async def _look_at_servers(self) -> list[Seen]:
        cluster = self._cluster
        found = await look_at(cluster.servers, cluster.monitoring)
        for problem in filter(None, (each.problem() for each in found)):
            raise ClusterError(problem)
        if not cluster.always:
            return found
        for each in found:
            if each.syncs is False:
                log.critical("%s does not sync each message: %s", each.where, _UNSAFE)
            elif each.syncs is None and cluster.monitoring is not None and each.version:
                log.warning("%s: its monitoring does not answer: %s", each.where, _UNSAFE)
        if cluster.monitoring is None:
            log.warning("whether the NATS servers sync each message is not known: %s", _UNSAFE)
        return found

    async def close(self) -> None:
        """Leave the cluster."""
        self._context = None
        await self._forget_reader()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await self._client.close()

    async def state(self) -> State:
        """Return what it has."""
        info = await self._api(f"STREAM.INFO.{self._name}", {})
        if info is None:
            raise NotAnsweredError("the stream is gone")
        state = info["state"]
        if not info.get("cluster", {}).get("leader", "one server alone"):
            raise NotAnsweredError("the stream has no leader")
        return State(int(state["first_seq"]), int(state["last_seq"]), int(state["bytes"]))

    async def append(self, kind: str, data: bytes, message_id: str, expected: int) -> int:
        """Append a message, if the last one has the number ``expected``; return its number."""
        headers = {
            "Nats-Msg-Id": message_id,
            "Nats-Expected-Last-Sequence": str(expected),
            "Nats-Expected-Stream": self._name,
        }
        if kind == OWNER:
            headers["Nats-Rollup"] = "sub"
        answer = await self._request(f"{self._name}.{kind}", data, headers)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _NOT_LAST:
            raise NotLastError(error.get("description"))
        raise NotAnsweredError(str(error.get("description")))

    async def at(self, sequence: int) -> Entry | None:
        """Return the message with a number; ``None`` if there is none."""
        return await self._message(seq=sequence)

    async def owner(self) -> Entry | None:
        """Return the last message by ``OWNER``; ``None`` if there is none."""
        return await self._message(subject=f"{self._name}.{OWNER}")

    async def read(self, after: int, wait: float) -> list[Entry]:
        """Return some messages behind a number, in order; wait for them for so many seconds."""
        if self._reader is None or self._read_to != after:
            await self._begin_reading(after)
        reader = self._reader
        if reader is None:
            return []
        try:
            messages = await reader.fetch(_READS, timeout=max(wait, 0.05))
        except TimeoutError:
            return []
        except Exception as error:
            await self._forget_reader()
            raise NotAnsweredError(repr(error)) from error
        entries = [_entry(each) for each in messages]
        if entries:
            self._read_to = entries[-1].sequence
        return entries

    async def read_anew(self) -> None:
        """Let the next ``read`` begin with a consumer of its own."""
        await self._forget_reader()

    async def purge(self, first: int) -> None:
        """Drop all messages before a number."""
        await self._api(f"STREAM.PURGE.{self._name}", {"seq": first})

    async def say(self, data: bytes) -> None:
        """Tell the other servers something that is not kept, and that they may miss."""
        with contextlib.suppress(Exception):
            await self._client.publish(f"{self._name}.standby", data)

    def heard(self) -> list[bytes]:
        """Return what was said since the last call; the oldest of it may be missing."""
        heard = list(self._heard)
        self._heard.clear()
        return heard

    async def _connect(self) -> None:
        cluster = self._cluster
        await self.close()
        self._client = Client()

        errors: list[Exception] = []

        async def told(error: Exception) -> None:
            log.debug("NATS: %r", error)
            errors[:] = [error]

        options: dict[str, Any] = {
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.1,
            "connect_timeout": max(1, int(self._patience)),
            # A server that has stopped without a word is left for another one soon.
            "ping_interval": max(0.5, self._patience / 2),
            "max_outstanding_pings": 2,
            "tls": cluster.tls(),
            **cluster.login(),
        }
        connecting = asyncio.ensure_future(
            self._client.connect(
                list(cluster.servers), name="starling-py", error_cb=told, **options
            )
        )
        # What it ends with when nobody waits any more is nobody's concern.
        connecting.add_done_callback(lambda each: each.cancelled() or each.exception())
        try:
            # The library may not heed that it is cancelled, so that is not waited for.
            await asyncio.wait({connecting}, timeout=max(4 * self._patience, 5))
        finally:
            in_time = not connecting.cancel()
        if not in_time:
            why = repr(errors[-1]) if errors else "it takes too long"
            raise NotAnsweredError(f"no connection: {why}")
        try:
            connecting.result()
        except (nats.errors.Error, OSError) as error:
            raise NotAnsweredError(repr(error)) from error
        self._context = self._client.jetstream(timeout=self._patience)

        async def hear(message: Msg) -> None:
            self._heard.append(message.data)

        await self._client.subscribe(f"{self._name}.standby", cb=hear)

    async def _make(self) -> Mapping[str, Any]:
        """Make the stream; whoever else does so at the same time makes the same."""
        name = self._name
        config = {
            "name": name,
            "description": _ABOUT,
            "subjects": [f"{name}.log", f"{name}.owner"],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_consumers": -1,
            "num_replicas": self._cluster.replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "duplicate_window": 120 * 10**9,
            "metadata": {
                "starling-format": str(operations.FORMAT),
                "starling-id": os.urandom(16).hex(),
            },
        }
        made = await self._api(f"STREAM.CREATE.{name}", config, exists=True)
        if made is None:
            made = await self._api(f"STREAM.INFO.{name}", {})
        if made is None:
            raise NotAnsweredError("the stream could not be made")
        log.info("stream %s was made, with %d replicas", name, self._cluster.replicas)
        return made

    def _judge(self, config: Mapping[str, Any]) -> None:
        """Raise ``ClusterError`` unless the stream may be used."""
        metadata = config.get("metadata") or {}
        version = metadata.get("starling-format")
        if version is None or "starling-id" not in metadata:
            raise ClusterError(
                f"stream {self._name} is not of starling-py; name another one with 'stream'"
            )
        if version != str(operations.FORMAT):
            raise ClusterError(
                f"stream {self._name} has format {version}, and this server knows"
                f" {operations.FORMAT}; use the version of the server that it was made with"
            )
        replicas = int(config.get("num_replicas", 1))
        if replicas < min(self._cluster.replicas, 3):
            raise ClusterError(
                f"stream {self._name} has {replicas} replicas, which survive no death; 3 are"
                f" needed, or 'replicas: {replicas}' in the configuration"
            )
        self.id = bytes.fromhex(metadata["starling-id"])

    async def _message(self, **which: int | str) -> Entry | None:
        if self._context is None:
            raise NotAnsweredError("not connected")
        try:
            async with asyncio.timeout(self._patience):
                found = await self._context.get_msg(self._name, **which)  # type: ignore[arg-type]
        except nats.js.errors.NotFoundError:
            return None
        except Exception as error:
            raise NotAnsweredError(repr(error)) from error
        headers = found.headers or {}
        kind = str(found.subject).rpartition(".")[2]
        return Entry(int(found.seq or 0), kind, headers.get("Nats-Msg-Id", ""), found.data or b"")

    async def _begin_reading(self, after: int) -> None:
        await self._forget_reader()
        if self._context is None:
            raise NotAnsweredError("not connected")
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=30.0,
        )
        try:
            async with asyncio.timeout(2 * self._patience):
                self._reader = await self._context.pull_subscribe(
                    "", stream=self._name, config=config
                )
        except Exception as error:
            raise NotAnsweredError(repr(error)) from error
        self._read_to = after

    async def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(Exception):
                await reader.unsubscribe()

    async def _api(
        self, what: str, told: Mapping[str, Any], *, exists: bool = False
    ) -> Mapping[str, Any] | None:
        """Ask JetStream; return ``None`` for what is not there, or with ``exists``, is there."""
        answer = await self._request(f"$JS.API.{what}", json.dumps(told).encode(), None)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("err_code") in _NOT_FOUND or (exists and error.get("err_code") == 10058):
            return None
        if error.get("err_code") in _WRONG:
            raise ClusterError(f"stream {self._name}: {_WRONG[error['err_code']]}")
        raise NotAnsweredError(str(error.get("description")))

    async def _request(
        self, subject: str, data: bytes, headers: dict[str, str] | None
    ) -> Mapping[str, Any]:
        try:
            answer = await self._client.request(
                subject, data, timeout=self._patience, headers=headers
            )
            found: Mapping[str, Any] = json.loads(answer.data)
        except Exception as error:
            # Whatever the client library stumbles over, the next question may be answered.
            raise NotAnsweredError(repr(error)) from error
        return found


def _entry(message: Msg) -> Entry:
    kind = message.subject.rpartition(".")[2]
    headers = message.headers or {}
    sequence = message.metadata.sequence.stream
    return Entry(sequence, kind, headers.get("Nats-Msg-Id", ""), message.data)
