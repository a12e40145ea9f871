"""Request, Response and StreamResponse: one model from the user down to the connection. Data and grammar; no sockets, no policy.

The responses have a file of their own, response.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

from multidict import CIMultiDict
from yarl import URL

from .auth import AuthTypes
from .config import TLS, UNSET, Limits, Timeout, Unset, check_count
from .errors import AioreqError
from .headers import Fields, HeaderTypes, field_names, field_pairs
from .request_body import Content, StreamedBody, encode_content
from .request_head import EMPTY, HeaderBlock, is_continue
from .response import Response, ResponseHead, StreamResponse
from .response_headers import ResponseHeaders
from .retries import Retry
from .terms import Terms
from .urls import ParsedURL, join, parse

if TYPE_CHECKING:
    from .proxies import Proxies
    from .request_trailers import Trailers
    from .transfer import Trace

__all__ = ["AuthTypes", "Deadline", "Progress", "Request", "Response", "ResponseHead", "StreamResponse"]


# The options of a request that are terms; what it names itself holds whoever sends it.
OWN_TERMS = (
    *("timeout", "max_body", "retry", "verify", "tls", "proxy", "raise_for_status"),
    *("follow_redirects", "max_redirects", "sensitive_headers"),
)
_OPTIONS = {"tls": "verify", "proxies": "proxy"}  # terms that an option of another name makes, which then no longer holds
_LIMITS = Limits()
# Of a request that no client has settled.
_UNSETTLED = Terms(timeout=Timeout(), limits=_LIMITS, retry=Retry(attempts=0), tls=TLS(), dialer=None, max_body=_LIMITS.body)

T = TypeVar("T")
# Called with the bytes done and those in all, None where nobody knows.
Progress: TypeAlias = Callable[[int, int | None], object]


class _Term(Generic[T]):
    """One of a request's terms, as an attribute of its own: set, it holds for this request alone."""

    def __init__(self, of: Callable[[Any], T] | None = None) -> None:
        self._of = of

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, request: None, owner: type) -> _Term[T]: ...
    @overload
    def __get__(self, request: Request, owner: type) -> T: ...
    def __get__(self, request: Request | None, owner: type) -> _Term[T] | T:
        if request is None:
            return self
        term: T = getattr(request.terms, self._name)
        return term

    def __set__(self, request: Request, value: Any) -> None:
        if self._of is not None:
            value = self._of(value)
        own = {**(request.own_terms or {}), self._name: value}
        own.pop(_OPTIONS.get(self._name, ""), None)
        request.own_terms = own
        request.terms = replace(request.terms, **{self._name: value})


def _counted(name: str, value: int) -> int:
    check_count("request", name, value)
    return value


class Deadline:
    """When `Timeout.total` passes, in loop time: shared by all attempts of one call, started by the first granted connection slot."""

    __slots__ = ("at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at: float | None = None

    def start(self, now: float) -> float:
        """Start the clock, unless it runs already; gives the loop time at which it stops."""
        if self.at is None:
            self.at = now + self.seconds
        return self.at

    def left(self, now: float) -> float:
        """Seconds until it passes."""
        return self.seconds if self.at is None else self.at - now


class Request:
    """What to send. `url` may be relative to a client's `base_url`; `headers` may be changed until it is sent.

    >>> Request(url="https://www.google.com/search?q=x", method="GET")
    <Request GET www.google.com>
    """

    __slots__ = (
        "_content",
        "_extensions",
        "_fields",
        "_given_url",
        "_headers",
        "_parsed",
        "auth",
        "authorization",
        "body",
        "cookie",
        "cookies",
        "deadline",
        "defaults",
        "method",
        "own_terms",
        "progress",
        "stream",
        "terms",
    )

    def __init__(
        self,
        method: str = "GET",
        url: str | URL = "",
        *,
        headers: HeaderTypes | None = None,
        content: Content = None,
        auth: AuthTypes | Unset = UNSET,
        timeout: Timeout | float | Unset | None = UNSET,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.method = method
        self._given_url: str | URL = url
        self._parsed: ParsedURL | None = None
        self._fields: list[tuple[str, str | None]] | None = None  # as given; a value of None stands for "leave this one out"
        self._headers: CIMultiDict[str] | None = None
        self._content: Content = None
        self._extensions: dict[str, Any] | None = None
        self.body: bytes | StreamedBody | None = None
        self.auth: Any = auth
        # What the client settles before sending; a user of Request alone need not know them.
        self.terms: Terms = _UNSETTLED
        self.own_terms: dict[str, Any] | None = None  # by the names of options
        self.cookies: dict[str, str] | None = None
        self.defaults: HeaderBlock = EMPTY
        self.stream = False
        self.progress: Progress | None = None  # of the body out where there is one, else of what comes in
        self.deadline: Deadline | None = None
        # What links of the chain add; a field of the user's own wins. They set it anew on each attempt.
        self.cookie: str | None = None
        self.authorization: str | None = None
        if headers:
            self._fields = field_pairs(headers)
        if content is not None:
            self.content = content
        if timeout is not UNSET:
            self.timeout = timeout
        if extensions is not None:
            self.extensions = extensions

    timeout = _Term(Timeout.of)
    max_body = _Term(partial(_counted, "max_body"))
    retry = _Term(Retry.of)
    tls = _Term[TLS]()
    proxies: _Term[Proxies | None] = _Term()
    follow_redirects = _Term[bool]()
    max_redirects = _Term(partial(_counted, "max_redirects"))
    sensitive_headers = _Term(field_names)
    raise_for_status = _Term[bool]()

    @property
    def extensions(self) -> dict[str, Any]:
        """Whatever the caller wants middlewares of its own to know."""
        if self._extensions is None:
            self._extensions = {}
        return self._extensions

    @extensions.setter
    def extensions(self, extensions: dict[str, Any]) -> None:
        self._extensions = _checked(extensions)

    @property
    def parsed(self) -> ParsedURL:
        """The URL taken apart; InvalidURL where it is wrong."""
        if self._parsed is None:
            self._parsed = parse(self._given_url)
        return self._parsed

    @parsed.setter
    def parsed(self, parsed: ParsedURL) -> None:
        self._parsed = parsed
        self._given_url = parsed.url

    @property
    def given_url(self) -> str | URL:
        """The URL as the caller gave it, perhaps relative."""
        return self._given_url

    @property
    def url(self) -> URL:
        """The URL without userinfo, which goes to the Authorization field."""
        return self.parsed.url

    @url.setter
    def url(self, url: str | URL) -> None:
        before = None if self.cookie is None is self.authorization else self.parsed.origin
        self._given_url, self._parsed = url, None
        if before is not None and self.parsed.origin != before:
            self.cookie = self.authorization = None  # links added them for that origin alone

    @property
    def host(self) -> str:
        """The host's name alone: no port, userinfo or brackets."""
        return self.parsed.origin.host

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields to send, in order, with the client's defaults once it is on its way; changeable."""
        if self._headers is None:
            own = self._fields or []
            self._headers = CIMultiDict(self.defaults.merged(own))
            # What isn't to be sent is remembered: the defaults may be yet to come.
            self._fields = [(name, value) for name, value in own if value is None]
            self.defaults = EMPTY
        return self._headers

    @property
    def content(self) -> Content:
        """The body as it was given; assignable."""
        return self._content

    @content.setter
    def content(self, content: Content) -> None:
        self.body = encode_content(content)
        self._content = content

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent (again)."""
        return not isinstance(self.body, StreamedBody) or self.body.sendable

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for a 100 (RFC 9110 section 10.1.1): the field asks for it, and there is something to wait."""
        body = self.body
        if not body or (isinstance(body, StreamedBody) and body.length == 0):
            return False
        value = self.field("expect")
        return value is not None and is_continue(value)

    def pairs(self) -> list[tuple[str, str]]:
        """All fields to send, in order."""
        pairs = list(self._headers.items()) if self._headers is not None else self.defaults.merged(self._fields or [])
        if self.cookie is not None and not any(name.lower() == "cookie" for name, _ in pairs):
            pairs.append(("Cookie", self.cookie))
        if self.authorization is not None and not any(name.lower() == "authorization" for name, _ in pairs):
            pairs.append(("Authorization", self.authorization))
        return pairs

    def added_pairs(self) -> list[tuple[str, str]] | None:
        """What there is to send behind the client's defaults; None where a field of the request's own takes the place of one of them."""
        if self._headers is not None:
            return None
        pairs: list[tuple[str, str]] = []
        taken = set(self.defaults.names)
        for name, value in self._fields or ():
            if value is None or name.lower() in self.defaults.names:
                return None
            pairs.append((name, value))
            taken.add(name.lower())
        if self.cookie is not None and "cookie" not in taken:
            pairs.append(("Cookie", self.cookie))
        if self.authorization is not None and "authorization" not in taken:
            pairs.append(("Authorization", self.authorization))
        return pairs

    def settle_headers(self, defaults: HeaderBlock) -> None:
        """Put a client's defaults in front of the request's own fields, which win."""
        if self._headers is None:
            self.defaults = defaults
        else:
            self._headers = CIMultiDict(defaults.merged([*(self._fields or []), *self._headers.items()]))

    def sets(self, name: str) -> bool:
        """Whether the request itself sets (or removes) a field; `name` in lower case."""
        return (self._headers is not None and name in self._headers) or any(own.lower() == name for own, _ in self._fields or [])

    def add_field(self, name: str, value: str) -> None:
        """One more field, without making the mapping that `headers` is."""
        if self._headers is not None:
            self._headers.add(name, value)
        else:
            self._fields = [*(self._fields or []), (name, value)]

    def add_fields(self, headers: HeaderTypes) -> None:
        """A request's own fields, before it is settled."""
        self._fields = [*(self._fields or []), *field_pairs(headers)]

    def field(self, name: str) -> str | None:
        """The first value of a field, None without one."""
        if self._headers is not None:
            return self._headers.get(name)
        lowered = name.lower()
        for own, value in self._fields or ():
            if own.lower() == lowered:
                return value
        if lowered in self.defaults.names:
            for default, value in self.defaults.pairs:
                if default.lower() == lowered:
                    return value
        return None

    def remove_fields(self, *names: str) -> None:
        """Drop every field of these names."""
        gone = {name.lower() for name in names}
        if any(name.lower() in gone for name, _ in self.pairs()):
            for name in names:
                self.headers.popall(name, None)

    def drop_body(self) -> None:
        """Send nothing behind the head."""
        if self.body is not None:
            self.content = self.progress = None

    def replace(self, **changes: Any) -> Request:
        """A copy with some attributes changed: `request.replace(method="GET", content=None)`."""
        copy = Request.__new__(Request)
        _ = self.extensions  # from here on both have the same
        for name in Request.__slots__:
            setattr(copy, name, getattr(self, name))
        if self._headers is not None:
            copy._headers = CIMultiDict(self._headers)
        for name, value in changes.items():
            if name == "headers":
                copy._headers, copy._fields, copy.defaults = None, field_pairs(value), EMPTY
            elif name in _REPLACEABLE:
                setattr(copy, name, value)
            else:
                raise TypeError(f"Request has no {name!r} to replace")
        return copy

    @property
    def trace(self) -> Trace | None:
        """Who is told each step of the way."""
        return None if self._extensions is None else self._extensions.get("trace")

    @property
    def trailers(self) -> Trailers | None:
        """What follows the body. Errors: InvalidHeader, TypeError."""
        given = None if self._extensions is None or self.body is None else self._extensions.get("trailers")
        if not given:
            return None
        from .request_trailers import Trailers  # few send any

        return Trailers(given, self.terms.sensitive_headers)

    def inform(self, status: int, fields: Fields) -> None:
        """Tell whoever asked for it that a 1xx has come."""
        callback = None if self._extensions is None else self._extensions.get("informational")
        if callback is not None:
            try:
                callback(status, ResponseHeaders(fields))
            except StopIteration as error:  # which no future carries
                raise RuntimeError("the callback for informational responses raised StopIteration") from error

    def redirected(self, location: str) -> ParsedURL:
        """Where a Location field leads from here; within the origin the userinfo stays, as its credentials do."""
        target = join(self.parsed, location)
        if target.userinfo is None and target.origin == self.parsed.origin:
            target = target._replace(userinfo=self.parsed.userinfo)
        return target

    def __repr__(self) -> str:
        try:
            shown = self.host
        except (AioreqError, TypeError):
            shown = "(relative or invalid URL)"
        return f"<Request {self.method} {shown}>"


def _checked(extensions: dict[str, Any]) -> dict[str, Any]:
    callback = extensions.get("informational")
    if callback is not None and not is_plain_function(callback):
        raise TypeError(f"extensions: 'informational' takes a plain function of a status and headers, not {callback!r}")
    trace = extensions.get("trace")
    if trace is not None and (not callable(trace) or is_plain_function(trace)):
        raise TypeError(f"extensions: 'trace' takes an asynchronous function of a step and its facts, not {trace!r}")
    return extensions


def is_plain_function(given: Any) -> bool:
    """Whether calling it does all that it does."""
    return callable(given) and not (iscoroutinefunction(given) or iscoroutinefunction(type(given).__call__))


# Besides `headers`; what else there is follows from these.
_REPLACEABLE = {name for name, value in vars(Request).items() if isinstance(value, _Term)}
_REPLACEABLE |= {"auth", "authorization", "content", "cookie", "cookies", "deadline", "defaults", "extensions", "method", "parsed"}
_REPLACEABLE |= {"progress", "stream", "terms", "url"}
