"""The protocol of a response made by hand, under the name that libraries import which answer in a server's place."""

from __future__ import annotations

from .base_protocol import BaseProtocol

__all__ = ["ResponseHandler"]


class ResponseHandler(BaseProtocol):
    """As `BaseProtocol`: what is parsed here, the core parses."""
