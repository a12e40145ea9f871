"""A session's settings and a call's arguments -> the core's `Request`. Sends nothing, awaits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, getversion, istr
from yarl import URL

from ...client import Client
from ...cookies import CookieJar
from ...encodings import accept_encoding
from ...errors import InvalidURL
from ...models import Deadline, Request
from ...netrc import NetrcAuth
from ...proxies import Proxy
from ...request_head import HeaderBlock
from ...urls import ParsedURL, parse
from ._bodies import chunked_body, compress_body, encoded, guarded
from ._links import JarMiddleWare, SessionCookies, SessionMiddleWare
from ._morsels import quoted
from ._timeouts import client_timeout, timeout_of
from ._values import tls_of
from .client_exceptions import InvalidUrlClientError, NonHttpUrlClientError
from .connector import head_limits
from .helpers import encode_basic_auth, sentinel
from .http import SERVER_SOFTWARE, HttpVersion10

if TYPE_CHECKING:
    from ...config import Timeout
    from ...terms import Terms
    from .client import ClientSession
    from .connector import BaseConnector
    from .helpers import BasicAuth

__all__ = ["MAX_REDIRECTS", "Preparing", "parsed_url"]

MAX_REDIRECTS = 10
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_TERMS = {"max_body": 1 << 62, "chunk_ends": True}
_OF_EACH = frozenset({"host", "content-length", "transfer-encoding"})
_AUTO = ("Accept", "Accept-Encoding", "User-Agent")


class Preparing:
    """What a session's requests have in common, and what their arguments make of it."""

    def __init__(self, session: ClientSession, connector: BaseConnector) -> None:
        # Not the session itself: it holds this, and what was never closed is told of when the last one lets go of it.
        self._loop = session._loop
        headers: Any = session._default_headers
        self._headers: CIMultiDict[str] = headers if isinstance(headers, CIMultiDict) else CIMultiDict(headers)
        self._skipped = session._skip_auto_headers
        self._http10 = session._version == HttpVersion10
        self._json_dumps: Any = session._json_serialize_bytes or session._json_serialize
        self._jar = session._cookie_jar
        self._auth = session._default_auth
        self._sizes = (session._max_line_size, session._max_field_size, session._max_headers)
        self._ssl = getattr(connector, "_ssl", True)  # what isn't TCP has none of its own
        self._base = session._base_url
        # A ProxyConnector has one, for who names no other.
        self._proxy_url = session._default_proxy or getattr(connector, "_proxy", None)
        self._proxy_auth = session._default_proxy_auth or getattr(connector, "_proxy_auth", None)
        core_timeout = timeout_of(session._timeout)
        jar = session._cookie_jar
        core_jar = getattr(jar, "_core", None)
        trust_env = session._trust_env
        self.client = Client(
            connector=connector._core,
            middlewares=(
                "RedirectMiddleWare",
                SessionCookies if isinstance(core_jar, CookieJar) else JarMiddleWare(jar),
                SessionMiddleWare(self._http10, NetrcAuth() if trust_env else None),
            ),
            cookies=core_jar if isinstance(core_jar, CookieJar) else None,
            timeout=core_timeout,
            retry=None,
            proxy=self._proxy(self._proxy_url, self._proxy_auth, None),
            trust_env=trust_env,
            tls=tls_of(True, None, self._ssl),
            max_redirects=MAX_REDIRECTS - 1,
        )
        self._own: dict[str, Any] = {**_TERMS, "limits": head_limits(connector._core.limits, *self._sizes)}
        self.terms: Terms = self.client.settings.remembered(**self._own)
        self._total = core_timeout.total
        self._force_close = connector.force_close
        self._version = -1
        self._block = HeaderBlock([])
        self._of_each: list[tuple[str, str]] = []  # fields of the session's that belong to a request

    def request(
        self, method: str, given: str | URL, params: Any, headers: Any, skip_auto_headers: Iterable[str] | None, timeout: Any
    ) -> Request:
        """A request, as far as most go: its URL, fields and time limits. Errors: InvalidURL, NonHttpUrlClientError, TypeError."""
        request = Request(method)
        if params or self._base is not None:
            given = _absolute(self._base, given, params)
        request.parsed = parsed_url(given)
        request.stream = True
        request.auth = None
        request.defaults = self._defaults()
        request.terms = self.terms
        total = self._total
        if timeout is not sentinel:
            total = self._limit(request, timeout)
        if total is not None:
            deadline = request.deadline = Deadline(total)
            deadline.start(self._loop.time())
        if headers:
            request.add_fields(headers)
        if self._of_each:
            request.add_fields([(name, value) for name, value in self._of_each if not request.sets(name.lower())])
        if skip_auto_headers is not None:
            self._skip(request, skip_auto_headers)
        return request

    def _limit(self, request: Request, timeout: Any) -> float | None:
        limits: Timeout = timeout_of(client_timeout(timeout))
        self.change(request, {"timeout": limits})
        return limits.total

    def limit_head(self, request: Request, max_line_size: int | None, max_field_size: int | None, max_headers: int | None) -> None:
        """How large a head the call allows, the session's where it says nothing."""
        given = (max_line_size, max_field_size, max_headers)
        sizes = [own if size is None else size for size, own in zip(given, self._sizes, strict=True)]
        self.change(request, {"limits": head_limits(self.client.connector.limits, *sizes)})

    def change(self, request: Request, own: dict[str, Any]) -> None:
        """Terms of a request's own, by the core's names."""
        own = request.own_terms = {**(request.own_terms or self._own), **own}
        request.terms = self.client.settings.remembered(**own)

    def _defaults(self) -> HeaderBlock:
        headers = self._headers
        version = getversion(headers)  # type: ignore[arg-type]  # it changes with the mapping, which is the user's to change
        if version != self._version:
            skipped = {name.lower() for name in (*self._skipped, *headers)}
            auto = {"Accept": "*/*", "Accept-Encoding": accept_encoding(), "User-Agent": SERVER_SOFTWARE}
            if self._force_close:
                auto["Connection"] = "close"
            elif self._http10:
                auto["Connection"] = "keep-alive"
            self._of_each = [(name, value) for name, value in headers.items() if name.lower() in _OF_EACH]
            pairs = [(name, value) for name, value in headers.items() if name.lower() not in _OF_EACH]
            self._block = HeaderBlock([*pairs, *((name, value) for name, value in auto.items() if name.lower() not in skipped)])
            self._version = version
        return self._block

    def _skip(self, request: Request, names: Iterable[str]) -> None:
        skipped = {name.lower() for name in names}
        own = self._headers
        request.add_fields(
            [(name, None) for name in _AUTO if name.lower() in skipped and name not in own and not request.sets(name.lower())]
        )

    # -- the body

    def add_body(
        self, request: Request, data: Any, json: Any, compress: str | bool | None, chunked: bool | None, skipped: Iterable[str] | None
    ) -> Any:
        """The body that `data` or `json` is; gives what the user meant. Errors: ValueError, TypeError."""
        content_type: str | None = None
        if json is not None:
            if data is not None:
                raise ValueError("data and json parameters can not be used at the same time")
            request.content, content_type = self._json_dumps(json), "application/json"
            data = request.content
        elif data is not None:
            if not isinstance(data, bytes | str):
                from .payload import payload_of

                data = payload_of(data)
            content, fields = encoded(data)
            request.content = content  # type: ignore[assignment]
            for name, value in fields:
                if name.lower() == "content-type":
                    content_type = value
                elif name.lower() != "content-length" and not self._sets(request, name.lower()):
                    request.add_field(name, value)
            if type(content) is not bytes:
                guarded(request)
        else:
            request.content = b""  # and its length: whatever isn't a GET may have had one
        if content_type is None and request.method in _WITH_CONTENT:
            content_type = "application/octet-stream"
        if content_type is not None and not self._sets(request, "content-type"):
            names = self._skipped
            if skipped is not None:
                names = names.union(map(istr, skipped))
            if not names or "content-type" not in {name.lower() for name in names}:
                request.add_field("Content-Type", content_type)
        self._frame(request, compress, chunked)
        return data

    def _frame(self, request: Request, compress: str | bool | None, chunked: bool | None) -> None:
        if request.sets("transfer-encoding") and "chunked" in (request.field("transfer-encoding") or "").lower():
            if chunked:
                raise ValueError('chunked can not be set if "Transfer-Encoding: chunked" header is set')
            request.headers.popall("Transfer-Encoding")  # the framing is the core's, and says so
            chunked = True
        if compress and request.body:
            compress_body(request, compress)
            chunked = True
        if chunked:
            chunked_body(request)

    def _sets(self, request: Request, name: str) -> bool:
        return request.sets(name) or name in self._headers

    # -- who asks

    def authorize(self, request: Request, auth: BasicAuth | None) -> None:
        """Credentials: the call's, else the URL's, else the session's where the base URL is its origin or there is none."""
        userinfo = request.parsed.userinfo
        if auth is not None and userinfo is not None:
            raise ValueError("Cannot combine AUTH argument with credentials encoded in URL")
        if auth is None and userinfo is None and (self._base is None or parse(self._base).origin == request.parsed.origin):
            auth = self._auth
        if auth is None and userinfo is None:
            return
        if self._sets(request, "authorization"):
            raise ValueError("Cannot combine AUTHORIZATION header with AUTH argument or credentials encoded in URL")
        if auth is None and userinfo is not None:
            request.authorization = encode_basic_auth(*userinfo, encoding="latin1")
        elif auth is not None:
            if not hasattr(auth, "encode") or not hasattr(auth, "login"):
                raise TypeError("BasicAuth() tuple is required instead")
            request.authorization = auth.encode()

    def add_cookies(self, request: Request, cookies: Any) -> None:
        """Cookies of this call alone, beside the jar's."""
        own = request.cookies = dict(request.cookies or {})
        quotes = self._jar.quote_cookie
        for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
            if isinstance(value, Morsel):
                own[name] = value.coded_value
            else:
                own[name] = quoted(str(value)) if quotes else str(value)

    # -- the way

    def proxy(self, request: Request, url: Any, auth: BasicAuth | None, headers: Any) -> None:
        """The call's proxy, or the session's with what the call says of it."""
        proxy = self._proxy(url or self._proxy_url, auth or self._proxy_auth, headers)
        if proxy is not None:
            self.change(request, {"proxy": proxy})

    def _proxy(self, url: Any, auth: BasicAuth | None, headers: Any) -> Proxy | None:
        if url is None:
            return None
        if auth is not None and not (hasattr(auth, "encode") and hasattr(auth, "login")):
            raise ValueError("proxy_auth must be None or BasicAuth() tuple")
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
        return _proxy(str(url), None if auth is None else auth.encode(), pairs, tls_of(True, None, self._ssl))

    def secure(self, request: Request, ssl: Any, server_hostname: str | None) -> None:
        """The call's TLS."""
        self.change(request, {"tls": tls_of(ssl, server_hostname, self._ssl)})


@lru_cache(maxsize=64)
def _proxy(url: str, authorization: str | None, headers: tuple[tuple[str, str], ...], tls: Any) -> Proxy:
    if authorization is not None:
        headers = (*headers, ("Proxy-Authorization", authorization))
    return Proxy(url, headers=headers or None, tls=tls if url.lower().startswith("https:") else None)


def _absolute(base: URL | None, given: str | URL, params: Any) -> URL:
    try:
        url = URL(given)
        if base is not None and not url.absolute:
            url = base.join(url)
    except ValueError as error:
        raise InvalidUrlClientError(given) from error
    return url.extend_query(params) if params else url


@lru_cache(maxsize=1024)
def parsed_url(given: str | URL) -> ParsedURL:
    """The URL, with what aiohttp's users expect of it: yarl's rules say how it is quoted."""
    try:
        url = URL(given)
    except ValueError as error:
        raise InvalidUrlClientError(given) from error
    if url.scheme and url.scheme not in _SCHEMES:
        raise NonHttpUrlClientError(url)
    if not url.raw_host:
        raise InvalidUrlClientError(url)
    text = str(url) if url.scheme else f"http:{url}"
    try:
        parsed = parse("http" + text[2:] if text.startswith("ws") else text)
    except InvalidURL as error:
        raise InvalidUrlClientError(url, str(error)) from error
    return parsed if parsed.userinfo is not None or url.scheme not in ("http", "https", "") else parsed._replace(url=url)
