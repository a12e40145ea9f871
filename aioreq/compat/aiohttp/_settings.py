"""What a session was given, for who asks. Decides nothing."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING

from multidict import CIMultiDict, istr
from yarl import URL

from ._options import RaiseForStatus
from ._timeouts import ClientTimeout
from .connector import BaseConnector
from .helpers import BasicAuth
from .http import HttpVersion
from .typedefs import JSONEncoder, LooseHeaders, StrOrURL

if TYPE_CHECKING:
    from .abc import AbstractCookieJar
    from .tracing import TraceConfig

__all__ = ["SessionSettings"]


class SessionSettings:
    """The attributes of a `ClientSession`."""

    _auto_decompress: bool
    _base_url: URL | None
    _connector: BaseConnector | None = None
    _connector_owner: bool
    _cookie_jar: AbstractCookieJar
    _default_auth: BasicAuth | None
    _default_headers: CIMultiDict[str]
    _json_serialize: JSONEncoder
    _loop: asyncio.AbstractEventLoop
    _raise_for_status: RaiseForStatus
    _requote_redirect_url: bool
    _skip_auto_headers: frozenset[istr]
    _timeout: ClientTimeout
    _trace_configs: list[TraceConfig]
    _trust_env: bool
    _version: HttpVersion

    def _prepare_headers(self, headers: LooseHeaders | None) -> CIMultiDict[str]:
        """The session's headers under a request's own. Libraries whose sessions derive from this one take it from inside."""
        own = CIMultiDict(headers or ())
        merged = CIMultiDict([(name, value) for name, value in self._default_headers.items() if name not in own])
        merged.extend(own)
        return merged

    def _build_url(self, str_or_url: StrOrURL) -> URL:
        """Where a request goes: libraries that answer in a server's place take it from inside, too."""
        url = URL(str_or_url)
        return url if self._base_url is None or url.absolute else self._base_url.join(url)

    @property
    def closed(self) -> bool:
        """Whether it was closed or detached, or its connector was closed."""
        return self._connector is None or self._connector.closed

    @property
    def connector(self) -> BaseConnector | None:
        """Its connector; None once it is closed."""
        return self._connector

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """Its cookies."""
        return self._cookie_jar

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP that its requests say."""
        return self._version

    @property
    def requote_redirect_url(self) -> bool:
        """As given."""
        return self._requote_redirect_url

    @requote_redirect_url.setter
    def requote_redirect_url(self, val: bool) -> None:
        warnings.warn("session.requote_redirect_url modification is deprecated #2778", DeprecationWarning, stacklevel=2)
        self._requote_redirect_url = val

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its event loop."""
        warnings.warn("client.loop property is deprecated", DeprecationWarning, stacklevel=2)
        return self._loop

    @property
    def timeout(self) -> ClientTimeout:
        """The time limits of its requests."""
        return self._timeout

    @property
    def headers(self) -> CIMultiDict[str]:
        """What its requests send; changeable."""
        return self._default_headers

    @property
    def skip_auto_headers(self) -> frozenset[istr]:
        """The fields that nobody adds."""
        return self._skip_auto_headers

    @property
    def auth(self) -> BasicAuth | None:
        """The credentials of its requests."""
        return self._default_auth

    @property
    def json_serialize(self) -> JSONEncoder:
        """What makes JSON."""
        return self._json_serialize

    @property
    def connector_owner(self) -> bool:
        """Whether it closes its connector."""
        return self._connector_owner

    @property
    def raise_for_status(self) -> RaiseForStatus:
        """Whether a 4xx or 5xx is an error."""
        return self._raise_for_status

    @property
    def auto_decompress(self) -> bool:
        """Whether bodies are decoded."""
        return self._auto_decompress

    @property
    def trust_env(self) -> bool:
        """Whether the proxies and logins of the environment are used."""
        return self._trust_env

    @property
    def trace_configs(self) -> list[TraceConfig]:
        """Who is told what happens."""
        return self._trace_configs
