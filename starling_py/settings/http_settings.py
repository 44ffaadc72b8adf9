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
from starling_py.settings.kinds import FLAG, TLS_VERSION, Kind, setting, table, text_of, whole
from starling_py.settings.paths import PATH
from starling_py.settings.problems import Fault

_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


def _listen(value: object) -> Address:
    return value if isinstance(value, Address) else Address.listening(text_of(value))


def _names(value: object) -> str:
    names = [each.strip().lower() for each in text_of(value).split(",")]
    if not all(re.fullmatch(_NAME, each) for each in names):
        raise ValueError
    return ",".join(names)


_LISTEN: Final = Kind("HOST:PORT, tls:HOST:PORT or unix:/PATH?mode=0660", _listen)
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
    tls_cert: Path | None = setting("HTTP", None, PATH,
        "File with the certificate that browsers are shown, and those that it depends on")
    tls_key: Path | None = setting("HTTP", None, PATH,
        "File with its private key; none: it stands in the same file")
    tls_min_version: str = setting("HTTP", "1.2", TLS_VERSION,
        "Oldest version of TLS that is spoken")
    hosts: str | None = setting("HTTP", None, _HOSTS,
        "Names that this machine is asked for by, beside localhost, its own name and addresses")
    # fmt: on

    @property
    def tls_client_ca(self) -> None:
        """Nobody needs a certificate: a token says who it is."""
        return


TABLE: Final = table(HttpSettings)
"""Every setting of the section, in the order of samples and documentation."""


def contradictions(good: Mapping[str, object]) -> list[Fault]:
    """Return what is wrong with settings only beside others; ``good`` are those of a file."""
    made = HttpSettings(**good)  # type: ignore[arg-type]
    faults = []
    if made.actions and not made.dashboard:
        faults.append(Fault(("actions",), "needs 'dashboard: true', as only the page has actions"))
    if made.listen.kind == TLS and made.tls_cert is None:
        faults.append(Fault(("listen",), f"{made.listen}: tls_cert is missing"))
    if made.listen.kind != TLS and made.tls_cert is not None:
        message = (
            f"nobody is shown it: 'listen: {made.listen}' has no TLS, which tls: in front says"
        )
        faults.append(Fault(("tls_cert",), message))
    if not made.listen.is_local and made.token_file is None:
        message = "can be reached from other machines, which needs a 'token_file'"
        faults.append(Fault(("listen",), message))
    return faults
