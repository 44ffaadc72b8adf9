"""Whatever a user asks, in any dialect: it learns nothing and changes nothing that it may not.

Two servers differ in queues that the user may not know of, and in nothing else. It asks both the
same, and both have to answer with the same bytes: so nothing of those queues is in any reply,
neither their names, nor their items, nor their numbers. Afterwards these queues are as they were.
"""

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starling_py.protocol.binary_requests import FORMS
from tests.core import CoreHarness
from tests.session.guarded_client import FakeGate, GuardedClient
from tests.session.test_guarded import (
    COMMANDS,
    EXTRAS,
    POLICY,
    RULES,
    SASL,
    USERS,
    in_binary,
    packet,
    state,
)

NAMES = (
    b"open.jobs", b"open.moved", b"open.routed", b"open.none", b"open.jobs+child", b"open",
    b"secret.jobs", b"secret.work", b"secret.copies", b"secret.failed", b"secret.jobs+child",
    b"nobodys", b"#", b"*", b"open.#", b"open.jobs+", b"+", b"OPEN.jobs", b"",
)  # fmt: skip
REACHED = (b"secret.copies", b"secret.failed")
"""Where routes and deliveries without end lead, whoever put or took."""
FORGERIES = [
    b"\xff", b"set @ 0 0 9\r\nboss ssob\r\n", b"get open.jobs/x @", b"get @/once=1",
    b"set @/open 0 0 1\r\n5", b"verbosity", b"flush_all_expired @", b"stats queue @ open.jobs",
    b"stats queue open.jobs @", b"stats consumers open.jobs @", b"dump_stats open.jobs @",
    b"dump_config open.jobs @", b"move open.jobs @ 1", b"move open.moved origin", b"browse @ 0 0",
    b"get open.moved/peek open.jobs/peek @/peek", b"mg open.moved o v s t f c", b"me open.moved",
    b"mg open.moved/peek o v", b"browse open.moved", b"stats queue open.moved", b"monitor @ 0 5",
    b"get open.moved/bury/open", b"get open.jobs/abort=1/open", b"status readonly", b"hello boss",
    b"set @/once=boss 0 0 1\r\n5", b"set @/t=1 0 0 1\r\n5", b"stats changed 0 5",
    b"stats changed @", b"snapshot @", b"pause @ 0", b"refresh_certs @", b"reload @",
]  # fmt: skip


def fill(core: CoreHarness, secret: bytes, hidden: bytes) -> None:
    """Make the same queues for all to know, and others, by another name and with other items."""
    boss = core.client()
    boss.ask(b"get open.jobs+child\r\n")
    for name in (secret, b"open.jobs", b"open.routed"):
        boss.ask(b"set %b 0 0 6\r\n%b\r\n" % (name, b"public" if name != secret else hidden) * 3)
    boss.ask(b"move %b open.moved 1\r\n" % secret)
    boss.ask(b"get open.jobs/open/lease=60\r\n")
    boss.ask(b"get %b/open\r\n" % secret)
    boss.ask(b"set secret.copies 0 0 6\r\n%b\r\n" % hidden * len(secret))
    boss.ask(b"pause %b\r\n" % secret)
    # What was moved is the user's to see, so it is the same.
    boss.ask(b"flush open.moved\r\n")
    boss.ask(b"set %b/delay=0 0 0 6\r\npublic\r\n" % (secret + b"2"))
    boss.ask(b"move %b2 open.moved\r\n" % secret)
    core.counters.total_items = core.counters.cmd_get = core.counters.get_hits = 0
    core.counters.get_misses = core.counters.cmd_set = core.counters.cmd_peek = 0


def secrets_of(core: CoreHarness) -> object:
    """Return what there is that only those see who may, but what routes lead to."""
    whole: Any = state(core)
    kept = {name: it for name, it in whole[0].items() if not name.startswith(b"open")}
    return {name: it for name, it in kept.items() if name not in REACHED}, whole[1], whole[2]


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Return a new folder for each life of the two servers."""
    return (tmp_path / str(number) for number in itertools.count())


@st.composite
def in_text(draw: st.DrawFn) -> bytes:
    """Return a command of text or meta, right or nearly so."""
    name = draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        line = draw(st.sampled_from(COMMANDS)).line
    else:
        line = draw(st.sampled_from(FORGERIES))
    if line[:1] == b"m" and line[2:4] == b" @" and draw(st.booleans()):
        head, _, rest = line.partition(b"\r\n")
        words = head.replace(b"@", base64.b64encode(name)) + b" b"
        return words + (b"\r\n" + rest if rest else b"") + b"\r\n"
    return line.replace(b"@", name) + b"\r\n"


@st.composite
def as_packet(draw: st.DrawFn) -> bytes:
    """Return a request of binary, right or nearly so."""
    opcode = draw(st.sampled_from([each for each in FORMS if each not in SASL]))
    form = FORMS[opcode]
    extras = EXTRAS[draw(st.sampled_from(form.extras))]
    key = draw(
        st.sampled_from([*NAMES, b"queue secret.jobs", b"changed", b"consumers secret.jobs"])
    )
    options = draw(
        st.sampled_from([b"", b"/peek", b"/open", b"/once=a", b"/peek/n=5", b"/close=1"])
    )
    return packet(opcode, key + options if form.keyed else b"", extras, b"5" * form.valued)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=150,
)
@given(
    name=st.sampled_from([each for each in USERS if each != "boss"]),
    in_text_first=st.booleans(),
    texts=st.lists(in_text() | st.binary(max_size=12), max_size=12),
    packets=st.lists(as_packet(), max_size=12),
    cut=st.integers(1, 60),
)
def test_what_a_user_may_not_know_is_in_no_reply_and_stays(
    folders: Iterator[Path],
    name: str,
    in_text_first: bool,
    texts: list[bytes],
    packets: list[bytes],
    cut: int,
) -> None:
    data = b"".join(texts) if in_text_first else b"".join(packets)
    told = []
    for secret, hidden in ((b"secret.jobs", b"hidden"), (b"secret.work", b"covert")):
        core = CoreHarness(next(folders), policy=POLICY, rules=RULES)
        fill(core, secret, hidden)
        before = secrets_of(core)
        gate = FakeGate(USERS)
        client = GuardedClient(core, gate)
        client = client.log_in(name) if in_text_first else in_binary(core, gate, name)
        reply = b""
        for start in range(0, len(data), cut):
            if client.closing:
                break
            reply += client.ask(data[start : start + cut])
        assert hidden not in reply
        told.append(reply)
        assert secrets_of(core) == before
        client.session.disconnected()
        core.close()
    assert told[0] == told[1]


def test_who_is_somebody_else_by_then_keeps_nothing_of_who_it_was(folders: Iterator[Path]) -> None:
    core = CoreHarness(next(folders), policy=POLICY, rules=RULES)
    fill(core, b"secret.jobs", b"hidden")
    client = in_binary(core, FakeGate(USERS), "boss")
    before = state(core)
    assert client.ask(packet(0x21, b"PLAIN", value=b"\0nothing\0gnihton"))[6:8] == b"\0\0"
    for opcode in (0x00, 0x01, 0x04, 0x08, 0x09, 0x0C, 0x24):
        form = FORMS[opcode]
        key = b"secret.jobs" if form.keyed else b""
        reply = client.ask(packet(opcode, key, EXTRAS[form.extras[-1]], b"5" * form.valued))
        assert (reply[6:8], b"hidden" in reply) == (b"\0\x20", False)
    assert state(core) == before
    core.close()
