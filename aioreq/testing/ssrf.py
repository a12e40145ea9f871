"""Known ways past a guard against forged requests (SSRF), to be tried on a client. Imports nothing of any client.

Every attempt leads to a loopback, private or metadata address, or means to. A guarded client refuses each one, by an error of its
guard or of its URLs, before it connects; `bypasses` tells which ones it didn't:

    async with aioreq.Client(guard=aioreq.PublicOnly(), resolver=ssrf.Resolver()) as client:
        assert await ssrf.bypasses(client.get, ssrf.attempts(), refused=(aioreq.GuardError, aioreq.InvalidURL)) == []
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .reply import Reply

if TYPE_CHECKING:
    from .server import Server

__all__ = [
    "ADDRESSES",
    "NAMES",
    "PROXY_VARIABLES",
    "Attempt",
    "Resolver",
    "attempts",
    "bypasses",
    "proxies_in_environment",
    "redirected",
]

# What no public name may resolve to: one address, or both ends, of each block, and those that services are known to answer at.
ADDRESSES: Mapping[str, str] = {
    "0.0.0.0": "this host",
    "0.255.255.255": "this network",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "a carrier's customers (CGNAT)",
    "100.100.100.200": "Alibaba Cloud's metadata",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "Azure's host of a virtual machine",
    "169.254.0.1": "link-local",
    "169.254.169.254": "the metadata of AWS, Azure, GCP and others",
    "169.254.170.2": "the credentials of AWS's containers",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "IETF protocols",
    "192.0.0.192": "Oracle Cloud's metadata",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relays",
    "192.168.0.1": "private",
    "192.168.255.255": "private",
    "198.18.0.1": "benchmarks",
    "198.19.255.255": "benchmarks",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "this host",
    "::1": "loopback",
    "::127.0.0.1": "loopback, IPv4-compatible",
    "::ffff:127.0.0.1": "loopback, IPv4-mapped",
    "::ffff:169.254.169.254": "metadata, IPv4-mapped",
    "::ffff:0:127.0.0.1": "loopback, IPv4-translated",
    "64:ff9b::127.0.0.1": "loopback behind NAT64",
    "64:ff9b::169.254.169.254": "metadata behind NAT64",
    "64:ff9b:1::10.0.0.1": "private behind local NAT64",
    "100::1": "discarded",
    "2001::1": "Teredo",
    "2001:0:4136:e378:8000:63bf:80ff:fffe": "loopback within Teredo",
    "2001:2::1": "benchmarks",
    "2001:10::1": "ORCHID",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "loopback within 6to4",
    "2002:a9fe:a9fe::1": "metadata within 6to4",
    "2600::5efe:127.0.0.1": "loopback within ISATAP",
    "2600::200:5efe:10.0.0.1": "private within ISATAP",
    "3fff::1": "documentation",
    "5f00::1": "segment routing",
    "fc00::1": "private",
    "fd00:ec2::254": "AWS's metadata",
    "fd20:ce::254": "GCP's metadata",
    "fe80::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}

# Names and what they resolve to: some that the real DNS knows, and `a0.ssrf.test` and so on, one for each of ADDRESSES.
NAMES: Mapping[str, Sequence[str]] = {
    "localhost": ("::1", "127.0.0.1"),
    "localhost.localdomain": ("127.0.0.1",),
    "ip6-localhost": ("::1",),
    "localtest.me": ("127.0.0.1", "::1"),
    "127.0.0.1.nip.io": ("127.0.0.1",),
    "metadata.google.internal": ("169.254.169.254",),
    "instance-data.ec2.internal": ("169.254.169.254",),
    "kubernetes.default.svc": ("10.96.0.1",),
    **{f"a{number}.ssrf.test": (address,) for number, address in enumerate(ADDRESSES)},
}

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

# `{port}` is ":" and the port under attack.
_URLS: Mapping[str, str] = {
    # IPv4 in the spellings of inet_aton(3)
    "http://127.0.0.1{port}/": "loopback",
    "http://127.127.127.127{port}/": "loopback, another address",
    "http://2130706433{port}/": "loopback as one decimal number",
    "http://0x7f000001{port}/": "loopback as one hexadecimal number",
    "http://0X7F.0.0.1{port}/": "loopback with a hexadecimal part",
    "http://017700000001{port}/": "loopback as one octal number",
    "http://0177.0.0.1{port}/": "loopback with an octal part",
    "http://127.0.0.0001{port}/": "loopback with leading zeros",
    "http://127.1{port}/": "loopback in two parts",
    "http://127.0.1{port}/": "loopback in three parts",
    "http://0{port}/": "this host as a number",
    "http://0.0.0.0{port}/": "this host",
    "http://4294967295{port}/": "broadcast as a number",
    "http://4425097985{port}/": "loopback as a number beyond 32 bits",
    "http://127.0.0.1.{port}/": "loopback with the dot of an absolute name",
    "http://169.254.169.254{port}/latest/meta-data/": "metadata",
    "http://2852039166{port}/latest/meta-data/": "metadata as one decimal number",
    "http://0xa9fea9fe{port}/latest/meta-data/": "metadata as one hexadecimal number",
    "http://169.16689662{port}/latest/meta-data/": "metadata in two parts",
    # IPv6
    "http://[::1]{port}/": "loopback",
    "http://[0:0:0:0:0:0:0:1]{port}/": "loopback, written out",
    "http://[::]{port}/": "this host",
    "http://[::ffff:127.0.0.1]{port}/": "loopback, IPv4-mapped",
    "http://[::ffff:7f00:1]{port}/": "loopback, IPv4-mapped, in hexadecimal",
    "http://[0000:0000:0000:0000:0000:ffff:7f00:0001]{port}/": "loopback, IPv4-mapped, written out",
    "http://[::127.0.0.1]{port}/": "loopback, IPv4-compatible",
    "http://[64:ff9b::7f00:1]{port}/": "loopback behind NAT64",
    "http://[2002:7f00:1::]{port}/": "loopback within 6to4",
    "http://[fe80::1]{port}/": "link-local",
    "http://[fe80::1%25lo]{port}/": "link-local with a zone (RFC 6874)",
    "http://[fe80::1%lo]{port}/": "link-local with a bare zone",
    "http://[::1%25lo]{port}/": "loopback with a zone",
    "http://[fd00:ec2::254]{port}/latest/meta-data/": "AWS's metadata",
    "http://[v1.127.0.0.1]{port}/": "loopback as an address of a future version (RFC 3986)",
    # Names
    "http://localhost{port}/": "loopback by name",
    "http://LocalHost{port}/": "loopback by name in another case",
    "http://localhost.{port}/": "loopback by an absolute name",
    "http://localhost.localdomain{port}/": "loopback by another name",
    "http://localtest.me{port}/": "a public name for loopback",
    "http://127.0.0.1.nip.io{port}/": "a public name for any address",
    "http://metadata.google.internal{port}/": "metadata by name",
    # What Unicode makes of letters, digits and dots (UTS 46)
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11{port}/": "loopback in fullwidth digits",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460{port}/": "loopback in circled digits",
    "http://127\u30020\u30020\u30021{port}/": "loopback with ideographic full stops",
    "http://127\uff0e0\uff0e0\uff0e1{port}/": "loopback with fullwidth full stops",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3{port}/": "loopback by a name in circled letters",
    "http://local\u00adhost{port}/": "loopback by a name with a soft hyphen",
    # URLs that two parsers read differently
    "http://public.test@127.0.0.1{port}/": "a public name as userinfo",
    "http://public.test:80@127.0.0.1{port}/": "a public name and port as userinfo",
    "http://public.test%2f@127.0.0.1{port}/": "a public name and a quoted slash as userinfo",
    "http://public.test\\@127.0.0.1{port}/": "a backslash in front of the userinfo's end",
    "http://127.0.0.1{port}\\@public.test/": "a backslash behind the host",
    "http://public.test@public.test@127.0.0.1{port}/": "two userinfos",
    "http://public.test &@127.0.0.1{port}# @public.test/": "spaces in the authority",
    "http://127.0.0.1%2f@127.0.0.1{port}/": "a quoted slash behind the first host",
    "http://%31%32%37.0.0.1{port}/": "loopback with quoted digits",
    "http://127.0.0.1%00.public.test{port}/": "a quoted NUL behind the host",
    "http://127.0.0.1\t.public.test{port}/": "a tab in the host",
    "http://127.0.0.1\r\n.public.test{port}/": "a line end in the host",
    "http:127.0.0.1{port}/": "no slashes",
    "http:///127.0.0.1{port}/": "three slashes",
    "http:\\\\127.0.0.1{port}\\": "backslashes for slashes",
    "//127.0.0.1{port}/": "no scheme",
    # Other schemes
    "file:///etc/passwd": "a file",
    "ftp://127.0.0.1{port}/": "FTP",
    "gopher://127.0.0.1{port}/_INFO": "gopher, which can speak to anything",
    "dict://127.0.0.1{port}/info": "dict",
    "unix:///var/run/docker.sock": "a Unix socket",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info": "a Unix socket within HTTP's scheme",
    "data:text/plain,hello": "data",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A URL that a guarded client refuses, and what it tries."""

    url: str
    tries: str


def attempts(port: int = 80) -> list[Attempt]:
    """All URLs to try: odd ones, addresses, and names for a client that resolves with `Resolver()`.

    With the `port` of a server of yours, that server's records show what got past.
    """
    colon = "" if port == 80 else f":{port}"
    literal = [Attempt(f"http://{f'[{a}]' if ':' in a else a}{colon}/", what) for a, what in ADDRESSES.items()]
    named = [Attempt(f"http://{name}{colon}/", f"a name of {addresses[0]}") for name, addresses in NAMES.items()]
    return [Attempt(url.replace("{port}", colon), what) for url, what in _URLS.items()] + literal + named


def redirected(server: Server, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The same by way of a server that the client may reach: one redirect to each, or (every other one) a chain of three.

    A Location that is no URL is refused by another error than a URL that is none: add that to `refused`.
    """
    ways = []
    for number, attempt in enumerate(attempts):
        path = f"/ssrf/{number}"
        hops = [path] if number % 2 else [path, f"{path}/second", f"{path}/third"]
        for here, there in zip(hops, [*(server.url + hop for hop in hops[1:]), attempt.url], strict=True):
            server.route(here, Reply(307 if number % 3 else 302, [("Location", there)]))
        ways.append(Attempt(server.url + path, f"{'a redirect' if number % 2 else 'three redirects'} to {attempt.url!r}, {attempt.tries}"))
    return ways


async def bypasses(
    fetch: Callable[[str], Awaitable[Any]],
    attempts: Iterable[Attempt],
    refused: type[Exception] | tuple[type[Exception], ...],
    seconds: float = 2,
) -> list[str]:
    """What got past: each attempt that `await fetch(url)` ended otherwise than by one of the errors `refused`. None is what you want.

    Another error counts too, and so does one that isn't there after some `seconds`: where a client tries to connect, nothing but luck
    refuses.
    """
    found = []
    for attempt in attempts:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                outcome = f"gave {await fetch(attempt.url)!r}"
        except refused:
            continue
        except Exception as error:
            outcome = f"was under way after {seconds:g} s" if limit.expired() else f"raised {type(error).__name__}: {error}"
        found.append(f"{attempt.url!r} ({attempt.tries}) {outcome}")
    return found


class Resolver:
    """Resolves names from a table: `await resolver.resolve(host, port)`. Each name has one answer or several, which take turns.

    A name with answers that differ is what DNS rebinding is: the first is for the check, the second for the connection. `asked` has the
    names that were looked up.

    >>> resolver = Resolver({"rebinding.test": [["93.184.215.14"], ["127.0.0.1"]]})
    >>> [asyncio.run(resolver.resolve("rebinding.test", 80)) for _ in range(3)]
    [['93.184.215.14'], ['127.0.0.1'], ['93.184.215.14']]
    """

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        self._answers = {name: [addresses] for name, addresses in NAMES.items()} if answers is None else answers
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The next answer for this name. Errors: socket.gaierror for a name that isn't in the table."""
        name = host.rstrip(".").lower()
        answers = self._answers.get(name)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "not in the table")
        answer = answers[self.asked.count(name) % len(answers)]
        self.asked.append(name)
        return answer


@contextmanager
def proxies_in_environment(url: str) -> Iterator[None]:
    """The environment names this proxy for every scheme, until the block ends."""
    names = (*PROXY_VARIABLES, "NO_PROXY", "no_proxy")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(PROXY_VARIABLES, url))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
