"""The names of the original `aioreq.http`: re-exports only."""

from .client import Client, StreamClient
from .models import Request, Response

__all__ = ["Client", "Request", "Response", "StreamClient"]
