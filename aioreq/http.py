"""The names of the original `aioreq.http`: re-exports only."""

from .client import Client
from .models import Request, Response
from .stream_client import StreamClient

__all__ = ["Client", "Request", "Response", "StreamClient"]
