"""Attaches the decoder of a response's Content-Encoding (RFC 9110 section 8.4). Decodes nothing: whoever reads the body does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models import Request, Response, StreamResponse
from ..parser import find
from .base import MiddleWare

if TYPE_CHECKING:
    from ..client import Client

__all__ = ["DecodeMiddleWare", "attach_decoder"]


class DecodeMiddleWare(MiddleWare):
    """Without it in the chain, bodies stay as they came, and the client doesn't ask for encoded ones.

    A 206 stays as it came: a range is one of the encoded bytes (RFC 9110 section 14.2), of which a part can't be decoded.
    """

    async def process(self, request: Request, client: Client) -> Response | StreamResponse:
        response = await self.next_middleware.process(request, client)
        attach_decoder(response)
        return response


def attach_decoder(response: Response | StreamResponse) -> None:
    """Say how the body is to be decoded."""
    if find(response.fields, b"content-encoding") is not None and response.status != 206:
        response.coding = b", ".join(response.field_values(b"content-encoding"))
