"""The networks that clients may come from."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.security.networks import Networks

LISTS = [
    ("192.168.1.0/24", ["192.168.1.1", "::ffff:192.168.1.9"], ["192.168.2.1", "::1", "127.0.0.1"]),
    ("deny all allow 192.168.1.*", ["192.168.1.1"], ["192.168.2.1", "127.0.0.1", "::1"]),
    (
        "deny all allow 192.168.1.* allow localhost",
        ["192.168.1.1", "127.8.0.1", "::1"],
        ["10.1.1.1"],
    ),
    ("allow 10.* deny 10.1.1.1", ["10.1.1.1", "10.9.9.9"], ["11.0.0.1"]),
    ("deny 10.1.1.1", ["10.1.1.2", "::1"], ["10.1.1.1", "::ffff:10.1.1.1"]),
    ("127.0.0.1 ::1", ["127.0.0.1", "::1"], ["127.0.0.2", "::2"]),
    ("fe80::/10", ["fe80::1%eth0", "fe80::1"], ["fec0::1", "10.0.0.1"]),
    ("10.*.*.*", ["10.1.2.3"], ["11.1.2.3"]),
    ("10.1.0.0/255.255.0.0", ["10.1.9.9"], ["10.2.0.0"]),
    ("all", ["10.0.0.1", "::5"], []),
    ("deny all", [], ["10.0.0.1", "127.0.0.1", "::5"]),
]


@pytest.mark.parametrize(("words", "inside", "outside"), LISTS)
def test_a_list_lets_these_in_and_no_others(
    words: str, inside: list[str], outside: list[str]
) -> None:
    networks = Networks(words.split())
    assert [networks.allow(each) for each in inside] == [True] * len(inside)
    assert [networks.allow(each) for each in outside] == [False] * len(outside)
    assert networks.is_closed == (words not in ("deny 10.1.1.1", "all"))


@pytest.mark.parametrize("host", ["", "unix", "localhost", "10.0.0", "10.0.0.1:5", "::1]", "\x00"])
def test_what_is_no_address_is_not_allowed(host: str) -> None:
    assert not Networks(["10.0.0.0/8", "::/0"]).allow(host)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("10.0.0.1/8", "10.0.0.1/8 is no network; write 10.0.0.0/8"),
        ("example.org", "example.org is no address and no network"),
        ("10.0.0.0/33", "10.0.0.0/33 is no address and no network"),
        ("10.1.*.5", "10.1.*.5 is no address and no network"),
        ("300.*", "300.0.0.0/8 is no address and no network"),
        ("10.0.0.*.*", "10.0.0.*.* has too many parts"),
        ("deny all allow", "names no network"),
        ("", "names no network"),
    ],
)
def test_what_is_no_network_is_refused_with_the_reason(words: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason.replace('*', '[*]')}$"):
        Networks(words.split())


@given(st.ip_addresses(), st.integers(0, 32))
def test_an_address_is_in_its_own_networks(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    if getattr(address, "ipv4_mapped", None) is not None:
        return  # it is one of IPv4, for which other networks hold
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert Networks([str(network)]).allow(str(address))
    assert not Networks(["deny", "all"]).allow(str(address))


@given(st.lists(st.text("0123456789.:/*%abcdenylow ", max_size=12), max_size=5))
def test_whatever_is_written_is_a_list_or_refused(words: list[str]) -> None:
    told = ""
    try:
        Networks(words).allow("203.0.113.9")
    except ValueError as refused:
        told = str(refused) or "nothing"
    assert told != "nothing"
