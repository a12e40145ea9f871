"""What a guard says of an address, a name, an origin and a proxy, without any network."""

from __future__ import annotations

import pickle
import random
from dataclasses import FrozenInstanceError
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioreq
from aioreq import GuardError, PublicOnly
from aioreq.guard import Guard, refusal
from aioreq.testing import ssrf
from aioreq.urls import Origin

pytestmark = pytest.mark.no_loop


def blocks(text: str) -> list[str]:
    return text.split()


# The registries once more, by hand: https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-special-registry; multicast,
# reserved, the host of Azure's virtual machines.
BLOCKS_4 = blocks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32"
)
# Within 2000::/3; all that is outside is refused too.
BLOCKS_6 = blocks("2001::/23 2001::/32 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16 3fff::/20")
OUTSIDE_6 = blocks(
    "::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 5f00::/16 fc00::/7 fe80::/10 "
    "fec0::/10 ff00::/8 ::/3 4000::/2 8000::/1"
)
PUBLIC = ["1.0.0.0", "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"]
PUBLIC += ["192.31.196.1", "192.52.193.1", "192.175.48.1", "223.255.255.255", "168.63.129.15", "168.63.129.17"]
PUBLIC += ["2000::", "2001:200::", "2001:4860:4860::8888", "2606:4700::1111", "2620:4f:8000::1", "2a00::1", "2c0f:ffff::1", "3fff:1000::"]

RANGES = [(network.version, int(network[0]), int(network[-1])) for network in map(ip_network, BLOCKS_4 + BLOCKS_6 + OUTSIDE_6)]


def public(address: IPv4Address | IPv6Address) -> bool:
    return not any(address.version == version and first <= int(address) <= last for version, first, last in RANGES)


def near(block: str) -> list[IPv4Address | IPv6Address]:
    """Its first, second, middle, last but one, last address, and the neighbours."""
    network = ip_network(block)
    first, last = int(network[0]), int(network[-1])
    kind, most = (IPv4Address, 2**32) if network.version == 4 else (IPv6Address, 2**128)
    return [kind(n) for n in sorted({first - 1, first, first + 1, (first + last) // 2, last - 1, last, last + 1}) if 0 <= n < most]


def why(address: object, host: str = "example.com", port: int = 443, **options: Any) -> str | None:
    return PublicOnly(**options).why(host, port, str(address))


# Addresses


@pytest.mark.parametrize("block", BLOCKS_4 + BLOCKS_6 + OUTSIDE_6)
def test_each_block_and_its_neighbours(block: str) -> None:
    assert [address for address in near(block) if (why(address) is None) is not public(address)] == []
    assert why(ip_network(block)[0]) is not None
    assert why(ip_network(block)[-1]) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_admitted(address: str) -> None:
    assert why(address) is None
    assert PublicOnly().admits("example.com", 443, address)


@given(st.integers(0, 2**32 - 1))
def test_any_ipv4_address(number: int) -> None:
    address = IPv4Address(number)
    assert (why(address) is None) is public(address)


@given(st.integers(0, 2**125 - 1))
def test_any_ipv6_address_of_global_unicast(number: int) -> None:
    address = IPv6Address(number | 1 << 125)
    if number >> 32 & 0xFDFFFFFF != 0x5EFE:  # ISATAP
        assert (why(address) is None) is public(address)


@given(st.integers(0, 2**128 - 1))
def test_no_address_outside_of_global_unicast(number: int) -> None:
    address = IPv6Address(number)
    assert why(address) is not None or address in IPv6Network("2000::/3")


@pytest.mark.parametrize("address", ssrf.ADDRESSES)
def test_the_addresses_of_the_kit(address: str) -> None:
    assert why(address) is not None


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%eth0", "::1%lo"])
def test_an_address_bound_to_an_interface(address: str) -> None:
    assert why(address) is not None


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.1", "0x7f.0.0.1", "010.0.0.1", "1.1.1.1.", "1.1.1.1 ", "[::1]", "1.1.1.1/32", "１.1.1.1"]
)
def test_what_is_no_address_is_not_admitted(address: str) -> None:
    assert why(address) == f"{address!r} is no IP address"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("169.254.169.254", "169.254.169.254 is in 169.254.0.0/16: link-local (RFC 3927), where clouds keep their metadata"),
        ("100.64.0.1", "100.64.0.1 is in 100.64.0.0/10: shared by a carrier's customers (RFC 6598)"),
        ("255.255.255.255", "255.255.255.255 is in 255.255.255.255/32: broadcast (RFC 919)"),
        ("::1", "::1 is in ::1/128: loopback (RFC 4291)"),
        ("2001::1", "2001::1 is in 2001::/32: Teredo (RFC 4380)"),
        ("4000::", "4000:: is in 4000::/2: not global unicast (RFC 4291)"),
        ("2600::5efe:808:808", "2600::5efe:808:808 is an ISATAP interface's (RFC 5214)"),
        ("2600::1%eth0", "2600::1%eth0 is bound to one network interface"),
    ],
)
def test_the_reason_names_the_block(address: str, said: str) -> None:
    assert why(address) == said


@pytest.mark.parametrize("block", [*BLOCKS_4, *OUTSIDE_6, "2001::/23", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20"])
def test_the_reason_names_the_smallest_block(block: str) -> None:
    network = ip_network(block)
    assert f" is in {network}: " in (why(network[network.num_addresses // 2]) or "")


# Addresses within addresses. 10.0.0.5 in each, and the block that such addresses are in.
EMBEDDING = {
    "::ffff:10.0.0.5": "::ffff:0:0/96",
    "::10.0.0.5": "::/96",
    "::ffff:0:10.0.0.5": "::ffff:0:0:0/96",
    "64:ff9b::10.0.0.5": "64:ff9b::/96",
    "64:ff9b:1:fffe::10.0.0.5": "64:ff9b:1::/48",
    "2002:a00:5::1": "2002::/16",
    "2001:0:808:808::f5ff:fffa": "2001::/32",  # the client's, inverted
    "2001:0:a00:5::f7f7:f7f7": "2001::/32",  # the server's
    "2600::5efe:10.0.0.5": "2600::/16",
}


@pytest.mark.parametrize(("address", "block"), EMBEDDING.items())
def test_both_addresses_must_be_allowed(address: str, block: str) -> None:
    assert why(address) is not None
    assert why(address, allow=["10.0.0.5"]) is not None
    assert "10.0.0.5, which " in (why(address, allow=[block]) or "")
    assert why(address, allow=[block, "10.0.0.0/8"]) is None
    assert why(address, host="internal.example", allow=["internal.example"]) is None


@pytest.mark.parametrize(("address", "block"), EMBEDDING.items())
def test_a_denied_address_is_denied_within_others(address: str, block: str) -> None:
    options: dict[str, Any] = {"host": "internal.example", "allow": ["internal.example", block, "10.0.0.0/8"]}
    assert why(address, **options) is None
    assert "denied by '10.0.0.5'" in (why(address, **options, deny=["10.0.0.5"]) or "")


def test_loopback_embeds_nothing() -> None:
    assert why("::1", allow=["::1"]) is None


# Entries of allow and deny


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("internal.example", "internal.example", 1, "10.0.0.5"),
        ("internal.example", "internal.example.", 1, "10.0.0.5"),
        ("Internal.Example.", "internal.example", 1, "10.0.0.5"),
        ("internal.example:8080", "internal.example", 8080, "10.0.0.5"),
        ("bücher.example", "xn--bcher-kva.example", 1, "10.0.0.5"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", 1, "10.0.0.5"),
        ("*.corp.example", "a.corp.example", 1, "10.0.0.5"),
        ("*.corp.example", "a.b.corp.example.", 1, "::1"),
        ("*.corp.example:81", "a.corp.example", 81, "10.0.0.5"),
        ("10.0.0.5", "10.0.0.5", 1, "10.0.0.5"),
        ("10.0.0.5", "whatever.example", 1, "10.0.0.5"),
        ("10.0.0.5:8080", "10.0.0.5", 8080, "10.0.0.5"),
        ("10.0.0.0/8", "whatever.example", 1, "10.255.255.255"),
        ("10.0.0.0/8:81", "whatever.example", 81, "10.0.0.0"),
        ("fd00::1", "fd00::1", 1, "fd00::1"),
        ("[fd00::1]", "fd00::1", 1, "fd00:0::1"),
        ("[fd00::1]:443", "fd00::1", 443, "fd00::1"),
        ("fd00::/8", "whatever.example", 1, "fdff::1"),
        ("[fd00::/8]:443", "whatever.example", 443, "fdff::1"),
        ("fe80::/10", "whatever.example", 1, "fe80::1%eth0"),
        ("localhost", "localhost", 1, "127.0.0.1"),
    ],
)
def test_what_an_entry_matches(entry: str, host: str, port: int, address: str) -> None:
    assert why(address, host, port) is not None
    assert why(address, host, port, allow=[entry]) is None
    assert repr(entry) in (why(address, host, port, deny=[entry], allow=[entry]) or "")


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("internal.example", "an-internal.example", 1, "10.0.0.5"),
        ("internal.example", "a.internal.example", 1, "10.0.0.5"),
        ("internal.example", "internal.example.evil.example", 1, "10.0.0.5"),
        ("internal.example", "10.0.0.5", 1, "10.0.0.5"),
        ("internal.example:8080", "internal.example", 80, "10.0.0.5"),
        ("*.corp.example", "corp.example", 1, "10.0.0.5"),
        ("*.corp.example", "evilcorp.example", 1, "10.0.0.5"),
        ("*.corp.example", ".corp.example.evil.example", 1, "10.0.0.5"),
        ("10.0.0.5", "internal.example", 1, "10.0.0.6"),
        ("10.0.0.5:8080", "10.0.0.5", 80, "10.0.0.5"),
        ("10.0.0.0/9", "internal.example", 1, "10.128.0.0"),
        ("[fd00::1]:443", "fd00::1", 80, "fd00::1"),
        ("0.0.0.0/0", "internal.example", 1, "::1"),
        ("::/0", "internal.example", 1, "127.0.0.1"),
        ("::/0", "internal.example", 1, "::ffff:127.0.0.1"),
    ],
)
def test_what_an_entry_does_not_match(entry: str, host: str, port: int, address: str) -> None:
    assert why(address, host, port, allow=[entry]) is not None
    assert why("8.8.8.8", host, port, deny=[entry]) is None or entry == "0.0.0.0/0"


def test_deny_wins_over_allow_and_over_public() -> None:
    guard = PublicOnly(allow=["internal.example", "10.0.0.0/8"], deny=["10.0.0.5", "8.8.8.0/24", "evil.example", "*.evil.example"])
    assert guard.admits("internal.example", 80, "10.0.0.4")
    assert not guard.admits("internal.example", 80, "10.0.0.5")
    assert not guard.admits("dns.example", 443, "8.8.8.8")
    assert not guard.admits("evil.example", 443, "1.1.1.1")
    assert not guard.admits("very.evil.example.", 443, "1.1.1.1")
    assert guard.admits("medieval.example", 443, "1.1.1.1")


@pytest.mark.parametrize("option", ["allow", "deny"])
@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("", "is no host name"),
        ("*", "a wildcard stands in front alone"),
        ("*.", "is no host name"),
        ("*.10.0.0.1", "a wildcard stands in front alone"),
        ("a.*.example", "a wildcard stands in front alone"),
        ("*a.example", "a wildcard stands in front alone"),
        ("http://internal.example", "is a URL"),
        ("internal.example/path", "is no address or network"),
        ("user@internal.example", "is no host name"),
        ("internal.example?", "is no host name"),
        (" internal.example", "is no host name"),
        ("internal example", "is no host name"),
        ("internal.example:", "has no port behind its ':'"),
        ("internal.example:0", "has no port from 1 to 65535"),
        ("internal.example:65536", "has no port from 1 to 65535"),
        ("internal.example:http", "has no port from 1 to 65535"),
        ("internal.example:٣", "has no port from 1 to 65535"),
        ("-a.example", "is no host name"),
        ("a..example", "is no host name"),
        ("127.1", "is a number but no dotted quad"),
        ("256.0.0.1", "is a number but no dotted quad"),
        ("010.0.0.1", "is no host name, address or network"),
        ("10.0.0.5/8", "has host bits set"),
        ("10.0.0.0/33", "is no address or network"),
        ("fd00::1::", "is no address or network"),
        ("[fd00::1", "is no IPv6 address or network in brackets"),
        ("[fd00::1]443", "is no IPv6 address or network in brackets"),
        ("[10.0.0.5]", "is no IPv6 address or network in brackets"),
        ("[fd00::1]:", "has no port behind its ':'"),
        ("fe80::1%eth0", "names a network interface"),
        ("::ffff:10.0.0.5", "is IPv4-mapped: give the IPv4 address or network"),
        ("::ffff:10.0.0.0/104", "is IPv4-mapped: give the IPv4 address or network"),
    ],
)
def test_a_wrong_entry_is_named(option: str, entry: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        PublicOnly(**{option: ["example.com", entry]})  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"PublicOnly({option}=...): {entry!r} ")
    assert what in str(caught.value)
    assert not isinstance(caught.value, aioreq.AioreqError)


@pytest.mark.parametrize(
    ("options", "kind", "what"),
    [
        ({"allow": "example.com"}, TypeError, "allow=...) takes a list of texts, not str"),
        ({"deny": 5}, TypeError, "deny=...) takes a list of texts, not int"),
        ({"deny": [b"example.com"]}, TypeError, "deny=...): b'example.com' is no text"),
        ({"schemes": "https"}, TypeError, "schemes=...) takes a list of texts"),
        ({"schemes": ["ftp"]}, ValueError, "schemes=...): 'ftp' is neither"),
        ({"ports": 80}, TypeError, "ports=...) takes a set of numbers, not int"),
        ({"ports": "80"}, TypeError, "ports=...) takes a set of numbers, not str"),
        ({"ports": {"80"}}, TypeError, "ports=...) takes a whole number"),
        ({"ports": {0}}, ValueError, "ports=0): must be at least 1"),
        ({"ports": {65536}}, ValueError, "65536 is above 65535"),
        ({"max_body": -1}, ValueError, "max_body=-1)"),
        ({"max_body": 1.5}, TypeError, "max_body=...)"),
        ({"timeout": -1}, ValueError, "timeout=-1)"),
        ({"timeout": "30"}, TypeError, "timeout=...) takes seconds or None"),
        ({"timeout": float("nan")}, ValueError, "timeout=nan)"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], kind: type[Exception], what: str) -> None:
    with pytest.raises(kind) as caught:
        PublicOnly(**options)
    assert str(caught.value).startswith("PublicOnly(")
    assert what in str(caught.value)


# The value


def test_a_guard_is_a_frozen_value() -> None:
    guard = PublicOnly(allow=["10.0.0.5:8080"], ports=[443, 80])
    assert repr(guard) == (
        "PublicOnly(allow=('10.0.0.5:8080',), deny=(), schemes=('http', 'https'), ports=(80, 443), max_body=10485760, timeout=30)"
    )
    assert guard == PublicOnly(allow=("10.0.0.5:8080",), ports=(443, 80))
    assert hash(guard) == hash(PublicOnly(allow=("10.0.0.5:8080",), ports=(443, 80)))
    assert guard == PublicOnly(allow=["10.0.0.5:8080"], ports=[80, 443, 80])
    assert guard != PublicOnly(allow=["10.0.0.5:8081"], ports=[443, 80])
    assert pickle.loads(pickle.dumps(guard)) == guard
    assert not pickle.loads(pickle.dumps(guard)).admits("x", 8081, "10.0.0.5")
    with pytest.raises(FrozenInstanceError):
        guard.allow = ()  # type: ignore[misc]
    given_list = ["internal.example"]
    guard = PublicOnly(allow=given_list)
    given_list.append("10.0.0.0/8")
    assert not guard.admits("x", 80, "10.0.0.5")


def test_it_is_a_guard() -> None:
    guard: Guard = PublicOnly()  # for the type checker
    assert (guard.max_body, guard.timeout) == (10 * 1024 * 1024, 30)


# Origins


@pytest.mark.parametrize(
    ("options", "origin", "what"),
    [
        (
            {"schemes": ["https"]},
            Origin("http", "example.com", 80),
            "http://example.com:80: it admits https alone; see PublicOnly(schemes=...)",
        ),
        ({"ports": [80, 443]}, Origin("http", "example.com", 81), "http://example.com:81: it admits port 80 and 443 alone"),
        ({"ports": []}, Origin("http", "example.com", 81), "it admits port none alone"),
        ({"ports": [80], "allow": ["example.com"]}, Origin("http", "example.com", 81), "name this host with its port in allow="),
        ({"deny": ["example.com"]}, Origin("http", "example.com.", 80), "http://example.com.:80: 'example.com' is in its deny="),
        ({"deny": ["example.com"], "allow": ["example.com"]}, Origin("http", "example.com", 80), "is in its deny="),
        ({}, Origin("http", "127.0.0.1", 80), "127.0.0.1 is in 127.0.0.0/8: loopback (RFC 1122); if it is meant to be reached, "),
        ({}, Origin("http", "127.0.0.1", 81), "PublicOnly(allow=['127.0.0.1:81'])"),
        ({}, Origin("http", "::1", 80), "PublicOnly(allow=['[::1]:80'])"),
        ({"ports": [1]}, Origin("http", "::1", 80), "http://[::1]:80"),
        ({"deny": ["8.8.8.0/24"]}, Origin("http", "8.8.8.8", 80), "8.8.8.8 is denied by '8.8.8.0/24' in deny="),
    ],
)
def test_a_refused_origin(options: dict[str, Any], origin: Origin, what: str) -> None:
    with pytest.raises(GuardError) as caught:
        PublicOnly(**options).check_origin(origin)
    assert str(caught.value).startswith("the guard refuses ")
    assert what in str(caught.value)
    assert isinstance(caught.value, PermissionError)


@pytest.mark.parametrize(
    ("options", "origin"),
    [
        ({}, Origin("http", "example.com", 8080)),
        ({}, Origin("http", "localhost", 80)),  # its addresses aren't known yet
        ({}, Origin("https", "8.8.8.8", 443)),
        ({"ports": [80]}, Origin("http", "example.com", 80)),
        ({"ports": [80], "allow": ["example.com:81"]}, Origin("http", "example.com.", 81)),
        ({"ports": [80], "allow": ["*.example.com:81"]}, Origin("http", "a.example.com", 81)),
        ({"ports": [80], "allow": ["10.0.0.0/8:81"]}, Origin("http", "10.0.0.5", 81)),
        ({"ports": [80], "allow": ["[fd00::1]:81"]}, Origin("http", "fd00::1", 81)),
        ({"deny": ["example.com:25"]}, Origin("http", "example.com", 80)),
    ],
)
def test_an_admitted_origin(options: dict[str, Any], origin: Origin) -> None:
    PublicOnly(**options).check_origin(origin)


def test_what_a_refusal_tells_to_allow_is_what_allows() -> None:
    for host, address in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("internal.example", "10.0.0.5")]:
        said = str(refusal(PublicOnly(), host, 81, [address]))
        allow = said.partition("allow=['")[2].partition("'")[0]
        assert PublicOnly(allow=[allow]).admits(host, 81, address)


def test_what_is_denied_is_not_to_be_allowed() -> None:
    for deny in ("10.0.0.0/8", "internal.example"):
        said = str(refusal(PublicOnly(deny=[deny]), "internal.example", 80, ["10.0.0.5"]))
        assert f"{deny!r}" in said
        assert "allow" not in said


def test_a_refusal_names_each_address_and_says_each_reason_once() -> None:
    said = str(refusal(PublicOnly(), "internal.example", 80, ["10.0.0.5", "10.0.0.5", "fd00::1"]))
    assert said.count("10.0.0.5 is in 10.0.0.0/8") == said.count("fd00::1 is in fc00::/7") == 1


# Proxies


@pytest.mark.parametrize(
    ("options", "proxy", "admitted"),
    [
        ({}, ("proxy.example", 3128), False),
        ({}, ("8.8.8.8", 3128), False),
        ({"allow": ["proxy.example"]}, ("proxy.example", 3128), True),
        ({"allow": ["proxy.example:3128"]}, ("proxy.example.", 3128), True),
        ({"allow": ["proxy.example:3128"]}, ("proxy.example", 8080), False),
        ({"allow": ["*.example"]}, ("proxy.example", 3128), False),
        ({"allow": ["10.0.0.5"]}, ("10.0.0.5", 3128), True),
        ({"allow": ["10.0.0.5:3128"]}, ("10.0.0.5", 3128), True),
        ({"allow": ["10.0.0.5:3128"]}, ("10.0.0.5", 8080), False),
        ({"allow": ["10.0.0.5/32"]}, ("10.0.0.5", 3128), True),
        ({"allow": ["[fd00::1]:3128"]}, ("fd00::1", 3128), True),
        ({"allow": ["10.0.0.0/8"]}, ("10.0.0.5", 3128), False),
        ({"allow": ["10.0.0.0/8"]}, ("proxy.example", 3128), False),
        ({"allow": ["proxy.example"], "deny": ["proxy.example"]}, ("proxy.example", 3128), False),
        ({"allow": ["10.0.0.5"], "deny": ["10.0.0.0/8"]}, ("10.0.0.5", 3128), False),
    ],
)
def test_a_proxy_must_be_named(options: dict[str, Any], proxy: tuple[str, int], admitted: bool) -> None:
    assert PublicOnly(**options).admits_proxy(*proxy) is admitted


# Spellings


def test_judging_is_independent_of_how_an_address_is_spelt() -> None:
    seeded = random.Random(6)
    for block in BLOCKS_6 + OUTSIDE_6:
        for address in near(block):
            assert isinstance(address, IPv6Address)
            spelt = seeded.choice([address.exploded, address.exploded.upper(), address.compressed])
            assert (why(spelt) is None) is public(address)


def test_the_blocks_of_this_file_are_those_that_were_asked_for() -> None:
    assert all(isinstance(ip_network(block), IPv4Network) for block in BLOCKS_4)
    assert all(ip_network(block).subnet_of(IPv6Network("2000::/3")) for block in BLOCKS_6)  # type: ignore[arg-type]
