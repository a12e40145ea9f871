"""What a client was told, and what becomes of it: options -> Request. Knows no connection, and decides nothing about what is sent next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from yarl import URL

from ._version import __version__
from .auth import Auth, PasswordAuth, credentials
from .config import TLS, UNSET, Timeout, check_count
from .cookies import CookieJar
from .dialer import Dialer
from .encodings import accept_encoding
from .errors import InvalidURL
from .headers import HeaderTypes, field_names, field_pairs
from .middlewares import DecodeMiddleWare, MiddleWare, RedirectPolicy
from .models import OWN_TERMS, Deadline, Request, is_plain_function
from .proxies import Proxies, ProxyTypes
from .request_body import encode_body
from .request_head import HeaderBlock
from .request_options import RequestOptions, VerifyTypes
from .retries import Retry
from .terms import Terms
from .urls import ParsedURL, append_missing, append_params, parse, query_names

if TYPE_CHECKING:
    from .guard import Guard

__all__ = ["Settings", "capped", "checked_base", "checked_proxies", "checked_tls", "default_fields", "jar_of"]

_REMEMBERED = 64  # combinations of options that make terms of their own


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings, checked: what each request of its own says, and the terms on which it goes out."""

    base: ParsedURL | None
    params: str | None = field(repr=False)  # a token, often
    auth: PasswordAuth | Auth | None
    json_dumps: Callable[[Any], str | bytes] | None
    defaults: HeaderBlock
    terms: Terms
    dialer: Dialer
    redirect_policy: RedirectPolicy | None = None
    # The same few options come with request after request: the terms that they make are remembered.
    remembered: Callable[..., Terms] = field(init=False, repr=False)
    settles_more: bool = field(init=False)  # for a request that names nothing but its URL

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", capped(self.terms, self.dialer.guard))
        object.__setattr__(self, "settles_more", bool(self.base or self.params is not None or self.terms.timeout.total is not None))
        object.__setattr__(self, "remembered", lru_cache(maxsize=_REMEMBERED, typed=True)(partial(_terms_of, self.terms)))

    def new_request(self, method: str, url: str | URL, options: RequestOptions) -> Request:
        """The request that a verb was asked for."""
        request = Request(method, url)
        if not options:
            if self.settles_more:
                return self.settle(request)
            request.defaults, request.auth, request.terms = self.defaults, self.auth, self.terms
            return request
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
            request.url = append_params(url, params)
        if (headers := take("headers")) is not None:
            request.add_fields(headers)
        data, files = take("data"), take("files") or None
        own_type = None if data is files is None else request.field("content-type")
        content, content_type = encode_body(take("content"), data, given.get("json", UNSET), self.json_dumps, files, own_type)
        if content is not None:
            request.content = content
        if content_type is not None:
            if not request.sets("content-type"):
                request.add_field("Content-Type", content_type)
            elif own_type is not None and content_type != own_type:  # of a multipart body, without its boundary
                request.headers["Content-Type"] = content_type
        if (coding := take("compress")) is not None:
            from .compression import compress  # and what it takes: only for who wants it

            compress(request, coding, self.defaults.names)
        if (cookies := take("cookies")) is not None:
            request.cookies = dict(cookies)
        if (extensions := take("extensions")) is not None:
            request.extensions = extensions
        if (progress := take("progress")) is not None:
            if not is_plain_function(progress):
                raise TypeError(f"progress= takes a plain function of the bytes done and those in all, not {progress!r}")
            request.progress = progress
        if "auth" in given:
            request.auth = given["auth"]
        if own := {name: given[name] for name in OWN_TERMS if name in given}:
            request.own_terms = own
        return self.settle(request, named)

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
        own = request.own_terms
        terms = request.terms = self.terms if own is None else self._terms(own)
        total = terms.timeout.total
        request.deadline = None if total is None else Deadline(total)
        return request

    def _terms(self, own: dict[str, Any]) -> Terms:
        try:
            hash(tuple(own.values()))
        except TypeError:  # a mapping of proxies, say
            return _terms_of(self.terms, **own)
        return self.remembered(**own)

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


def _terms_of(terms: Terms, **own: Any) -> Terms:
    """These terms, but for those of a request's own, as its options name them. Errors: TypeError and ValueError that name the option."""
    if "timeout" in own:
        own["timeout"] = Timeout.of(own["timeout"])
    if "retry" in own:
        own["retry"] = Retry.of(own["retry"]).within(terms.retry.budget)
    if "max_redirects" in own:
        check_count("request", "max_redirects", own["max_redirects"])
    if "sensitive_headers" in own:
        own["sensitive_headers"] = field_names(own["sensitive_headers"])
    if "max_body" in own:
        own["max_body"] = terms.max_body if own["max_body"] is None else own["max_body"]
        check_count("request", "max_body", own["max_body"])
    verified, tls = "verify" in own, own.pop("tls", None)
    if verified or tls is not None:
        own["tls"] = checked_tls(own.pop("verify", True), tls)
    dialer = terms.dialer
    assert dialer is not None
    if "proxy" in own:
        own["proxies"] = checked_proxies(own.pop("proxy"), dialer)
    return capped(replace(terms, **own), dialer.guard)


def capped(terms: Terms, guard: Guard | None) -> Terms:
    """The terms with their caps lowered to the guard's."""
    if guard is None:
        return terms
    timeout = terms.timeout
    if guard.timeout is not None and (timeout.total is None or timeout.total > guard.timeout):
        terms = replace(terms, timeout=replace(timeout, total=guard.timeout))
    return terms if guard.max_body is None else replace(terms, max_body=min(terms.max_body, guard.max_body), max_stream=guard.max_body)


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
