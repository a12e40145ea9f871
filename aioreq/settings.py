"""What a client was told, and what becomes of it: options -> Request. Knows no connection, and decides nothing about what is sent next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from yarl import URL

from ._version import __version__
from .auth import PasswordAuth
from .config import TLS, UNSET, Limits, Retry, Timeout, check_count
from .cookies import CookieJar
from .dialer import Dialer
from .encodings import accept_encoding
from .errors import InvalidURL
from .guard import Guard
from .headers import HeaderTypes, field_pairs
from .middlewares import DecodeMiddleWare, MiddleWare
from .middlewares.authentication import credentials
from .models import Deadline, Request
from .proxies import Proxies, ProxyTypes
from .request_body import encode_body
from .request_head import HeaderBlock
from .request_options import RequestOptions, VerifyTypes
from .urls import ParsedURL, append_missing, append_params, parse, query_names

__all__ = ["Settings", "checked_base", "checked_proxies", "checked_tls", "default_fields", "jar_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings, checked; each request is given those that it doesn't set itself."""

    base: ParsedURL | None
    params: str | None
    auth: PasswordAuth | None
    timeout: Timeout
    limits: Limits
    retry: Retry
    tls: TLS
    dialer: Dialer
    proxies: Proxies | None
    follow_redirects: bool
    max_redirects: int
    raise_for_status: bool
    json_dumps: Callable[[Any], str | bytes] | None
    defaults: HeaderBlock

    def new_request(self, method: str, url: str | URL, options: RequestOptions) -> Request:
        """The request that a verb was asked for."""
        given_method: Any = method
        if isinstance(given_method, str) and given_method.isascii():
            method = given_method.upper()  # a "head" would wait for a body that never comes; who means lower case sends a Request
        if not options:
            return self.settle(Request(method, url))
        given: dict[str, Any] = dict(options)
        unknown = given.keys() - RequestOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"a request takes no {', '.join(sorted(unknown))}; its options are {', '.join(RequestOptions.__annotations__)}")
        take = given.get
        named: Collection[str] = ()
        if (params := take("params")) is not None:
            if not isinstance(params, str | Mapping):
                params = list(params)
            if self.params is not None:
                named = query_names(params)
            url = append_params(url, params)
        content, content_type = encode_body(take("content"), take("data"), given.get("json", UNSET), self.json_dumps)
        request = Request(
            method,
            url,
            headers=take("headers"),
            content=content,
            auth=given.get("auth", UNSET),
            timeout=given.get("timeout", UNSET),
            extensions=take("extensions"),
        )
        if content_type is not None and not request.sets("content-type"):
            request.add_field("Content-Type", content_type)
        request.cookies = dict(cookies) if (cookies := take("cookies")) is not None else None
        if (max_body := take("max_body")) is not None:
            check_count("request", "max_body", max_body)
            request.max_body = max_body
        self.settle(request, named)
        if "retry" in given:
            request.retry = Retry.of(given["retry"])
        if "verify" in given or given.get("tls") is not None:
            request.tls = checked_tls(given.get("verify", True), take("tls"))
        if "proxy" in given:
            request.proxies = checked_proxies(given["proxy"], self.dialer)
        request.follow_redirects = given.get("follow_redirects", request.follow_redirects)
        if "max_redirects" in given:
            check_count("request", "max_redirects", given["max_redirects"])
            request.max_redirects = given["max_redirects"]
        request.raise_for_status = given.get("raise_for_status", request.raise_for_status)
        return request

    def settled_copy(self, request: Request) -> Request:
        """A copy of a user's own request with these settings: what is sent in its place."""
        # A request that was sent before, a response's, starts afresh.
        return self.settle(request.replace(cookie=None, authorization=None, stream=False))

    def settle(self, request: Request, named: Collection[str] = (), way_only: bool = False) -> Request:
        """The request with these settings wherever it has none of its own; `named` are the parameters that it sets or drops.

        `way_only` leaves alone what it says (URL, headers, auth), and settles how it goes out.
        """
        if not way_only:
            if self.base is not None or self.params is not None:
                request.parsed = self._absolute(request.given_url, named)
            request.settle_headers(self.defaults)
            request.auth = self.auth if request.auth is UNSET else credentials(request.auth)
        timeout = request.timeout = self.timeout if request.timeout is UNSET else Timeout.of(request.timeout)
        request.limits = self.limits
        if self.dialer.guard is not None:
            timeout = _cap(request, self.dialer.guard)
        request.deadline = None if timeout.total is None else Deadline(timeout.total)
        request.retry = self.retry
        request.tls = self.tls
        request.dialer = self.dialer
        request.proxies = self.proxies
        request.follow_redirects = self.follow_redirects
        request.max_redirects = self.max_redirects
        request.raise_for_status = self.raise_for_status
        return request

    def _absolute(self, url: str | URL, named: Collection[str]) -> ParsedURL:
        text = str(url)
        userinfo = None
        scheme, mark, _ = text.partition("://")
        if self.base is not None and (not mark or not {"/", "?", "#"}.isdisjoint(scheme)):
            base, userinfo = str(self.base.url), self.base.userinfo
            text = base if not text else base + text if text.startswith("?") else base.rstrip("/") + "/" + text.lstrip("/")
        if self.params is not None:
            text = append_missing(text, self.params, named)
        parsed = parse(text)
        return parsed if userinfo is None else parsed._replace(userinfo=userinfo)


def _cap(request: Request, guard: Guard) -> Timeout:
    """Lower the request's own caps to the guard's; gives its timeout."""
    if (most := guard.max_body) is not None:
        request.max_body = min(request.most_body, most)
        request.max_stream = most
    timeout: Timeout = request.timeout
    if guard.timeout is not None and (timeout.total is None or timeout.total > guard.timeout):
        timeout = request.timeout = replace(timeout, total=guard.timeout)
    return timeout


def default_fields(
    chain: MiddleWare, user_agent: str | None, persistent: bool, headers: HeaderTypes | None
) -> list[tuple[str, str | None]]:
    """The fields of every request: ours, but for those that the client's own `headers` set or drop, then these."""
    fields: list[tuple[str, str | None]] = [("User-Agent", user_agent or f"aioreq/{__version__}"), ("Accept", "*/*")]
    link: MiddleWare | None = chain
    while link is not None and link.linked:
        if isinstance(link, DecodeMiddleWare):
            fields.append(("Accept-Encoding", accept_encoding()))
        link = link.next_middleware
    if not persistent:
        fields.append(("Connection", "close"))
    own = field_pairs(headers)
    names = {name.lower() for name, _ in own}
    return [field for field in fields if field[0].lower() not in names] + own


def checked_base(url: str | URL) -> ParsedURL:
    """What `base_url` says. Errors: InvalidURL."""
    parsed = parse(url)
    if "?" in str(parsed.url) or "#" in str(parsed.url):
        raise InvalidURL(f"base_url {str(parsed.url)!r} has a query or a fragment, and paths go behind it: give the query as params=")
    return parsed


def checked_tls(verify: VerifyTypes, tls: TLS | None) -> TLS:
    """What `verify` and `tls`, its long form, say together."""
    if tls is None:
        return TLS.of(verify)
    if verify is not True:
        raise ValueError("give verify= or tls=, not both: TLS(verify=...) is the long form")
    return tls


def checked_proxies(proxy: ProxyTypes, dialer: Dialer, trust_env: bool = False) -> Proxies | None:
    """The proxies that `proxy` says; where it says nothing, and unless a Unix socket is dialled, those of the environment."""
    if proxy is None:
        admits = None if dialer.guard is None else dialer.guard.admits_proxy
        return Proxies.of_environment(admits=admits) if trust_env and dialer.unix_socket is None else None
    if dialer.unix_socket is not None:
        raise ValueError("give unix_socket= or proxy=, not both: a proxy reaches hosts, not this machine's sockets")
    return Proxies.of(proxy)


def jar_of(cookies: Mapping[str, str] | CookieJar | None, base: ParsedURL | None) -> CookieJar:
    """The jar that `cookies` is, or one that holds them for the base URL."""
    if isinstance(cookies, CookieJar):
        return cookies
    jar = CookieJar()
    if cookies:
        if base is None:
            raise ValueError(
                "Client(cookies={...}) needs a base_url that says whose they are; or give them with each request, or a CookieJar"
            )
        for name, value in cookies.items():
            jar.set(name, value, url=base.url)
    return jar
