"""The networks that clients may come from.

The rules are those of Ruby's list for distributed objects: words, ``allow`` and ``deny``, each
before the addresses that it is about; what is allowed is allowed whatever is denied. A list without
these words names what is allowed. Invariant: an address that no rule is about is refused, unless
there is nothing but what is denied; so is what is no address at all. Nothing here looks up names.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_EVERYBODY: Final = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_NAMES: Final[dict[str, tuple[Network, ...]]] = {
    "all": _EVERYBODY,
    "*": _EVERYBODY,
    "localhost": (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
}
_STARS: Final = re.compile(r"(?:[0-9]{1,3}\.){1,3}\*(?:\.\*){0,2}")


class Networks:
    """Which addresses are allowed."""

    def __init__(self, words: Iterable[str]) -> None:
        """Raise ``ValueError``, with the reason, for a word that is no address of a network."""
        self.words = tuple(words)
        """As they were written."""
        self._allowed: list[Network] = []
        self._denied: list[Network] = []
        target, is_last = self._allowed, False
        for word in self.words:
            is_last = word.lower() in ("allow", "deny")
            if is_last:
                target = self._denied if word.lower() == "deny" else self._allowed
            else:
                target += _networks(word)
        if is_last or not self.words:
            raise ValueError("names no network")

    @property
    def is_closed(self) -> bool:
        """Whether somebody is kept out, and not only those that are named."""
        if self._allowed:
            return all(each.prefixlen for each in self._allowed)
        return all(each in self._denied for each in _EVERYBODY)

    def allow(self, host: str) -> bool:
        """Tell whether a client at an address may come; IPv4 within IPv6 is the former."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        inner = getattr(address, "ipv4_mapped", None)
        address = address if inner is None else inner
        if any(address in each for each in self._allowed):
            return True
        return not self._allowed and not any(address in each for each in self._denied)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __str__(self) -> str:
        return ",".join(self.words)


def _networks(word: str) -> tuple[Network, ...]:
    """Return the networks that a word stands for; raise ``ValueError`` with the reason."""
    if word.lower() in _NAMES:
        return _NAMES[word.lower()]
    if _STARS.fullmatch(word):
        parts = [each for each in word.split(".") if each != "*"]
        if len(word.split(".")) > 4:
            raise ValueError(f"{word} has too many parts")
        word = ".".join([*parts, *["0"] * (4 - len(parts))]) + f"/{8 * len(parts)}"
    try:
        return (ipaddress.ip_network(word),)
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(f"{word} is no address and no network") from None
    raise ValueError(f"{word} is no network; write {network}")
