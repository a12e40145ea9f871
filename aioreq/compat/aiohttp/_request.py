"""ClientRequest: what a client middleware sees, and may change, of one attempt. Sends nothing: what it says becomes the core's request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ...encodings import accept_encoding
from ...models import Request
from ._preparing import parsed_url
from ._response import ClientResponse
from ._values import ConnectionKey, RequestInfo, SSLTypes
from .client_exceptions import InvalidURL
from .helpers import BasicAuth
from .http import SERVER_SOFTWARE, HttpVersion, HttpVersion11
from .typedefs import LooseCookies, LooseHeaders, Query

if TYPE_CHECKING:
    from .client import ClientSession
    from .payload import Payload

__all__ = ["ClientRequest"]

_NOT_TOKEN = re.compile(r"[^-!#$%&'*+.^_`|~0-9a-zA-Z]")


class ClientRequest:
    """One attempt: `method`, `url`, `headers` and (by `update_body`) `body` may be changed until it is sent.

    `headers` are all that go out, those that the session adds among them.
    """

    GET_METHODS: ClassVar = {"GET", "HEAD", "OPTIONS", "TRACE"}
    POST_METHODS: ClassVar = {"PATCH", "POST", "PUT"}
    ALL_METHODS: ClassVar = GET_METHODS | POST_METHODS | {"DELETE"}
    DEFAULT_HEADERS: ClassVar = {"Accept": "*/*", "Accept-Encoding": accept_encoding()}

    url = URL()
    method = "GET"
    auth: BasicAuth | None = None
    response: ClientResponse | None = None
    _core: Request | None = None
    _data: Any = None
    _body: Payload | None = None
    _new_body = False

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        params: Query = None,
        headers: LooseHeaders | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        data: Any = None,
        cookies: LooseCookies | None = None,
        auth: BasicAuth | None = None,
        version: HttpVersion = HttpVersion11,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        response_class: type[ClientResponse] | None = None,
        proxy: URL | None = None,
        proxy_auth: BasicAuth | None = None,
        timer: Any = None,
        session: ClientSession | None = None,
        ssl: SSLTypes = True,
        proxy_headers: LooseHeaders | None = None,
        traces: Any = None,
        trust_env: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        if bad := _NOT_TOKEN.search(method):
            raise ValueError(f"Method cannot contain non-token characters {method!r} (found at least {bad[0]!r})")
        if params:
            url = url.extend_query(params)
        self.original_url = url
        self.url = url.with_fragment(None) if url.raw_fragment else url
        self.method = method.upper()
        self.chunked = chunked
        self.compress = compress
        self.loop = loop
        self.response_class: type[ClientResponse] = response_class or ClientResponse
        self._session = session
        self._ssl: SSLTypes = ssl
        self.server_hostname = server_hostname
        self.update_version(version)
        self.update_host(url)
        self.update_proxy(proxy, proxy_auth, proxy_headers)
        self.headers: CIMultiDict[str] = CIMultiDict({"Host": url.host_port_subcomponent or ""})
        self.update_headers(headers)
        self.update_auto_headers(skip_auto_headers)
        self.update_cookies(cookies)
        self.update_auth(auth)
        self.update_expect_continue(expect100)
        self._data = data
        self._new_body = data is not None

    @classmethod
    def _of(cls, core: Request, session: ClientSession, data: Any) -> Self:
        """The attempt that the core is about to make."""
        terms = core.terms
        proxy = None if terms.proxies is None else terms.proxies.choose(core.parsed.origin)
        made = cls(
            core.method,
            core.url,
            headers=CIMultiDict(core.pairs()),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            version=session.version,
            loop=session._loop,
            response_class=session._response_class,
            proxy=None if proxy is None else URL(str(proxy.url)),
            session=session,
            server_hostname=terms.tls.server_hostname,
            trust_env=session.trust_env,
        )
        made._core = core
        made._data = None if core.body is None else data
        made._new_body = False
        body = core.body
        length = len(body) if isinstance(body, bytes) else None if body is None else body.length
        if length is not None:
            made.headers.setdefault("Content-Length", str(length))
        return made

    def _attempt(self) -> Request:
        """What it says now, for the core."""
        core = self._core
        assert core is not None, "this request was made by hand: only a session's are sent"
        url = core.parsed if self.url == core.url.with_fragment(None) else parsed_url(self.url)
        headers = self.headers.copy()
        if headers.get("Host") == url.authority.decode():
            del headers["Host"]
        for framing in ("Content-Length", "Transfer-Encoding"):
            headers.popall(framing, None)
        attempt = core.replace(parsed=url, method=self.method, headers=list(headers.items()), cookie=None, authorization=None)
        if self._new_body:
            from ._bodies import encoded, guarded

            attempt.content = None if self._data is None else encoded(self._data)[0]  # type: ignore[assignment]
            guarded(attempt)
        return attempt

    # -- what it says

    @property
    def session(self) -> ClientSession:
        """Whose it is: a middleware may send others by it."""
        assert self._session is not None
        return self._session

    @property
    def request_info(self) -> RequestInfo:
        """What responses and errors tell of it."""
        return RequestInfo(self.url, self.method, CIMultiDictProxy(self.headers), self.original_url)

    @property
    def ssl(self) -> SSLTypes:
        """As given."""
        return self._ssl

    @property
    def host(self) -> str:
        """The host of the URL."""
        return self.url.raw_host or ""

    @property
    def port(self) -> int | None:
        """The port of the URL."""
        return self.url.port

    @property
    def connection_key(self) -> ConnectionKey:
        """Where its connection leads."""
        return ConnectionKey(
            self.host, self.port, self.is_ssl(), self.ssl, self.proxy, self.proxy_auth, None, server_hostname=self.server_hostname
        )

    @property
    def skip_auto_headers(self) -> CIMultiDict[None]:
        """The fields that nobody adds."""
        return CIMultiDict()

    def is_ssl(self) -> bool:
        """Whether it goes out over TLS."""
        return self.url.scheme in ("https", "wss")

    # -- the body

    @property
    def body(self) -> Payload | Literal[b""]:
        """The body as a payload: `await request.body.as_bytes()`; b"" where there is none."""
        if self._data is None:
            return b""
        if self._body is None:
            from .payload import payload_of

            self._body = payload_of(self._data)
        return self._body

    @body.setter
    def body(self, body: Any) -> None:
        self._set_body(body)

    async def update_body(self, body: Any) -> None:
        """Another body: whatever `data=` takes, None for none."""
        self._set_body(body)

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Another body, as `update_body`."""
        self._set_body(body)

    def _set_body(self, body: Any) -> None:
        self._data, self._body, self._new_body = body, None, True
        self.headers.popall("Content-Length", None)
        if body is not None:
            payload: Any = self.body
            for name, value in payload.headers.items():
                self.headers.setdefault(name, value)
            if payload.size is not None:
                self.headers["Content-Length"] = str(payload.size)

    # -- its making, step by step

    def update_version(self, version: HttpVersion | str) -> None:
        """The version of HTTP, "1.1" too; the session's is what goes out. Errors: ValueError."""
        if isinstance(version, str):
            major, _, minor = version.partition(".")
            if not (major.strip().isdigit() and minor.strip().isdigit()):
                raise ValueError(f"Can not parse http version number: {version}")
            version = HttpVersion(int(major), int(minor))
        self.version = version

    def update_host(self, url: URL) -> None:
        """Look at the host of a URL, and at its credentials. Errors: InvalidURL."""
        if not url.raw_host:
            raise InvalidURL(url)
        self.auth = BasicAuth.from_url(url)

    def update_proxy(self, proxy: URL | None, proxy_auth: BasicAuth | None, proxy_headers: LooseHeaders | None) -> None:
        """The proxy that it goes through, to be looked at."""
        self.proxy = proxy
        self.proxy_auth = proxy_auth
        self.proxy_headers = proxy_headers

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Add fields; a Host takes the place of the URL's."""
        for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
            if name.lower() == "host":
                self.headers[name] = value
            else:
                self.headers.add(name, value)

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add what is missing of the default fields."""
        skipped = {name.lower() for name in skip_auto_headers or ()}
        for name, value in {**self.DEFAULT_HEADERS, "User-Agent": SERVER_SOFTWARE}.items():
            if name.lower() not in skipped:
                self.headers.setdefault(name, value)

    def update_cookies(self, cookies: LooseCookies | None) -> None:
        """Add cookies to the Cookie field."""
        if not cookies:
            return
        pairs: Any = cookies.items() if isinstance(cookies, Mapping) else cookies
        given = [pair.partition("=") for pair in self.headers.popall("Cookie", [""])[0].split("; ") if pair]
        all_of_them = {name: value for name, _, value in given}
        all_of_them.update({name: getattr(value, "coded_value", value) for name, value in pairs})
        self.headers["Cookie"] = "; ".join([f"{name}={value}" for name, value in all_of_them.items()])

    def update_auth(self, auth: BasicAuth | None, trust_env: bool = False) -> None:
        """Add credentials. Errors: TypeError."""
        auth = auth or self.auth
        if auth is not None:
            if not hasattr(auth, "encode") or not hasattr(auth, "login"):
                raise TypeError("BasicAuth() tuple is required instead")
            self.headers["Authorization"] = auth.encode()

    def update_expect_continue(self, expect: bool = False) -> None:
        """Have the body wait for a 100 (RFC 9110 section 10.1.1)."""
        if expect:
            self.headers["Expect"] = "100-continue"
