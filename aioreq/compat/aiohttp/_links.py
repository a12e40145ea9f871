"""The links of a session's chain that are aiohttp's own: a jar of the user's, and what a session wants at each hop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ...cookies import cookie_header
from ...errors import LocalProtocolError
from ...headers import text
from ...middlewares import CookiesMiddleWare, MiddleWare
from ...middlewares.base import raised
from ...middlewares.cookies import cookies_for, keep
from ...models import Request, Response, StreamResponse
from ...parser import find
from ...request_body import StreamedBody
from .helpers import encode_basic_auth

if TYPE_CHECKING:
    from ...client import Client
    from ...netrc import NetrcAuth
    from .abc import AbstractCookieJar

__all__ = ["CALL", "JarMiddleWare", "SessionCookies", "SessionMiddleWare"]

CALL = "aioreq.compat.aiohttp"  # the extension of a request that a `Call` belongs to


class SessionCookies(CookiesMiddleWare):
    """As the core's, but that a Cookie field of the user's goes out together with the cookies; of one name it is these that do."""

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        jar: Any = client.cookies
        request.cookie = cookies_for(request, jar) if jar.hosts or request.cookies or getattr(jar, "everywhere", None) else None
        response = await self.next_middleware.process(request if request.cookie is None else _joined(request), client)
        if find(response.fields, b"set-cookie") is not None:
            keep(response, jar)
        return response


class JarMiddleWare(MiddleWare):
    """By a jar of the user's own, which is asked at each hop; a request's own cookies go beside its."""

    def __init__(self, jar: AbstractCookieJar) -> None:
        super().__init__()
        self._jar = jar

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        cookies = {name: morsel.coded_value for name, morsel in self._jar.filter_cookies(request.url).items()}
        cookies.update(request.cookies or {})
        request.cookie = cookie_header(cookies) if cookies else None
        response = await self.next_middleware.process(request if request.cookie is None else _joined(request), client)
        if find(response.fields, b"set-cookie") is not None:
            values = [text(value) for value in response.field_values(b"set-cookie")]
            self._jar.update_cookies_from_headers(values, response.url)
        return response


def _joined(request: Request) -> Request:
    """The request with its Cookie field, if it has one, among its cookies."""
    field = request.field("cookie")
    if field is None:
        return request
    assert request.cookie is not None
    cookies = {pair.partition("=")[0]: pair for pair in (*field.split("; "), *request.cookie.split("; ")) if pair}
    joined = request.replace()  # at the next hop the field is there as it was
    del joined.headers["Cookie"]
    joined.cookie = "; ".join(sorted(cookies.values()))
    return joined


class SessionMiddleWare(MiddleWare):
    """What a session wants at each hop: HTTP/1.0, the credentials of a redirect's URL or of a netrc file, and what its `Call` does."""

    def __init__(self, http10: bool = False, netrc: NetrcAuth | None = None) -> None:
        super().__init__()
        self._http10 = http10
        self._netrc = netrc

    def process(self, request: Request, client: Client) -> Coroutine[Any, Any, Response | StreamResponse]:
        """The response to one attempt."""
        try:
            if self._http10:
                parsed = request.parsed
                request.parsed = parsed._replace(head=parsed.head.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
                if isinstance(request.body, StreamedBody) and request.body.length is None:  # RFC 9112 section 6.1
                    raise LocalProtocolError("HTTP/1.0 has no chunks: give the body a Content-Length, or bytes", request=request)
            if request.authorization is None:
                if request.parsed.userinfo is not None:
                    request.authorization = encode_basic_auth(*request.parsed.userinfo, encoding="latin1")
                elif self._netrc is not None and request.field("authorization") is None:
                    return self._with_login(request, client, self._netrc)
            extensions = request._extensions
            if extensions and CALL in extensions:
                return extensions[CALL].attempt(request, client, self.next_middleware)  # type: ignore[no-any-return]
        except Exception as error:
            return raised(error)
        return self.next_middleware.process(request, client)

    async def _with_login(self, request: Request, client: Client, netrc: NetrcAuth) -> Response | StreamResponse:
        flow = netrc.auth_flow(request)
        request = await anext(flow)
        await flow.aclose()
        if request._extensions and CALL in request._extensions:
            return await request._extensions[CALL].attempt(request, client, self.next_middleware)  # type: ignore[no-any-return]
        return await self.next_middleware.process(request, client)
