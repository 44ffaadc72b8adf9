"""The settings of what the server tells by HTTP: its own section of a file, and off without it.

Whoever reaches an address that is not of this machine needs a token, so such an address without
``token_file`` is refused here. Nothing in this module opens a socket or reads the token.
"""
# ruff: noqa: RUF009 - ``setting`` makes an attrs.field, which is not a default shared by instances

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from starling_py.connecting.address import TLS, Address
from starling_py.settings.kinds import FLAG, Kind, setting, table, text_of, whole
from starling_py.settings.paths import PATH
from starling_py.settings.problems import Fault

_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


def _listen(value: object) -> Address:
    address = value if isinstance(value, Address) else Address.listening(text_of(value))
    if address.kind == TLS:
        raise ValueError("has no TLS; put a proxy that has in front of it")
    return address


def _names(value: object) -> str:
    names = [each.strip().lower() for each in text_of(value).split(",")]
    if not all(re.fullmatch(_NAME, each) for each in names):
        raise ValueError
    return ",".join(names)


_LISTEN: Final = Kind("HOST:PORT or unix:/PATH?mode=0660", _listen)
_HOSTS: Final = Kind("names of hosts with commas between them", _names)
_QUEUES: Final = whole(0, 10_000, "a whole number from 0 to 10000")


@attrs.frozen(kw_only=True)
class HttpSettings:
    """What is told by HTTP, where, and to whom."""

    # fmt: off
    listen: Address = setting("HTTP", "127.0.0.1:22180", _LISTEN,
        "Where to listen")
    metrics: bool = setting("HTTP", True, FLAG,
        "Tell the statistics at /metrics, as Prometheus reads them")
    metrics_max_queues: int = setting("HTTP", 200, _QUEUES,
        "Queues that /metrics tells each by itself, those with most items; the others are added up")
    dashboard: bool = setting("HTTP", False, FLAG,
        "Serve the page at /")
    actions: bool = setting("HTTP", False, FLAG,
        "Let the page change queues")
    token_file: Path | None = setting("HTTP", None, PATH,
        "File with tokens, of which everything but the health paths then asks for one")
    hosts: str | None = setting("HTTP", None, _HOSTS,
        "Names that this machine is asked for by, beside localhost, its own name and addresses")
    # fmt: on


TABLE: Final = table(HttpSettings)
"""Every setting of the section, in the order of samples and documentation."""


def contradictions(good: Mapping[str, object]) -> list[Fault]:
    """Return what is wrong with settings only beside others; ``good`` are those of a file."""
    made = HttpSettings(**good)  # type: ignore[arg-type]
    faults = []
    if made.actions and not made.dashboard:
        faults.append(Fault(("actions",), "needs 'dashboard: true', as only the page has actions"))
    if not made.listen.is_local and made.token_file is None:
        message = "can be reached from other machines, which needs a 'token_file'"
        faults.append(Fault(("listen",), message))
    return faults
