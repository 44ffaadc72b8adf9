"""Machines of a test: network namespaces with two networks, one for clients, one for the cluster.

The test itself, and what it starts, is in a namespace of its own meanwhile, from which it reaches
both networks. Nothing of it has a name, so it is gone when the processes are. Needs root.
"""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import pytest

from tests.process.server_process import wait_until

_NEW_NET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

BOTH, OUT, IN = "both", "out", "in"
"""Which way a machine is cut off from the cluster's network."""


def why_no_machines() -> str:
    """Return what keeps this machine from having others, or nothing."""
    if os.geteuid() != 0:
        return "needs root: makes network namespaces"
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "needs ip and nsenter"
    return ""


needs_machines = pytest.mark.skipif(bool(why_no_machines()), reason=why_no_machines() or "here")


@attrs.frozen
class Machines:
    """Some machines; what they run begins with ``enter``."""

    holders: Sequence["subprocess.Popen[bytes]"]

    def host(self, at: int) -> str:
        """Return a machine's address in the cluster's network."""
        return f"10.78.0.{11 + at}"

    def client_host(self, at: int) -> str:
        """Return a machine's address in the clients' network."""
        return f"10.77.0.{11 + at}"

    def enter(self, at: int) -> tuple[str, ...]:
        """Return what a command begins with that is run on a machine."""
        return ("nsenter", "--net", "--target", str(self.holders[at].pid))

    def placed(self, configuration: str, at: int) -> str:
        """Return the configuration of a NATS server with the addresses of the machines."""
        routes = iter(range(len(self.holders)))
        text = re.sub(r"listen: 127\.0\.0\.1", f"listen: {self.host(at)}", configuration)
        return re.sub(r"nats://127\.0\.0\.1", lambda _: f"nats://{self.host(next(routes))}", text)

    def cut(self, at: int, way: str) -> None:
        """Cut a machine off from the cluster's network: the cable, or one direction alone."""
        if way == BOTH:
            _run("ip", "link", "set", f"n{at}", "down")
            return
        for other in range(len(self.holders)):
            if other != at:
                whose, target = (at, other) if way == OUT else (other, at)
                _run(*self.enter(whose), "ip", "route", "add", "blackhole", self.host(target))

    def mend(self, at: int, way: str) -> None:
        """Undo ``cut``."""
        if way == BOTH:
            _run("ip", "link", "set", f"n{at}", "up")
            return
        for other in range(len(self.holders)):
            if other != at:
                whose, target = (at, other) if way == OUT else (other, at)
                _run(*self.enter(whose), "ip", "route", "del", "blackhole", self.host(target))


@contextlib.contextmanager
def machines(size: int = 3) -> Iterator[Machines]:
    """Make some machines, and be in the middle of their networks."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    holders: list[subprocess.Popen[bytes]] = []
    if _LIBC.unshare(_NEW_NET) != 0:
        os.close(before)
        pytest.skip("needs the right to make network namespaces")
    try:
        _run("ip", "link", "set", "lo", "up")
        for network, letter in ((77, "c"), (78, "n")):
            _run("ip", "link", "add", f"br{letter}", "type", "bridge")
            _run("ip", "address", "add", f"10.{network}.0.1/24", "dev", f"br{letter}")
            _run("ip", "link", "set", f"br{letter}", "up")
        for at in range(size):
            holders.append(subprocess.Popen(["unshare", "--net", "sleep", "infinity"]))
            _join(at, holders[-1])
        yield Machines(holders)
    finally:
        for each in holders:
            each.kill()
            each.wait()
        _LIBC.setns(before, _NEW_NET)
        os.close(before)


def _join(at: int, holder: "subprocess.Popen[bytes]") -> None:
    """Give a machine its two network cards."""
    own = Path("/proc/self/ns/net").stat().st_ino
    wait_until(lambda: Path(f"/proc/{holder.pid}/ns/net").stat().st_ino != own)
    inside = ("nsenter", "--net", "--target", str(holder.pid))
    _run(*inside, "ip", "link", "set", "lo", "up")
    for network, letter in ((77, "c"), (78, "n")):
        link, card = f"{letter}{at}", f"{letter}eth"
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", card)
        _run("ip", "link", "set", card, "netns", str(holder.pid))
        _run("ip", "link", "set", link, "master", f"br{letter}")
        _run("ip", "link", "set", link, "up")
        _run(*inside, "ip", "address", "add", f"10.{network}.0.{11 + at}/24", "dev", card)
        _run(*inside, "ip", "link", "set", card, "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
