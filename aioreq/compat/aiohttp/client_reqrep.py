"""aiohttp's names for what is sent and what comes back."""

from __future__ import annotations

from types import MappingProxyType as MappingProxyType  # where libraries import it from

from ._request import ClientRequest
from ._response import ClientResponse
from ._upload import UploadTracker
from ._values import ConnectionKey, ContentDisposition, Fingerprint, RequestInfo

__all__ = ["ClientRequest", "ClientResponse", "ConnectionKey", "ContentDisposition", "Fingerprint", "RequestInfo", "UploadTracker"]
